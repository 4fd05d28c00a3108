"""What a task says: its parts, and the patterns that find them."""
