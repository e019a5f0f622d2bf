"""CLR beside what a user would pick instead: protocol, schedules, tables, pictures."""
