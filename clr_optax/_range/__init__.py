"""The learning-rate range test, room by room."""
