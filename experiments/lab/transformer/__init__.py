"""CLR with AdamW on a small transformer: protocol, training, tables, pictures."""
