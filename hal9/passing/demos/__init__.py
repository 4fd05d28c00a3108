"""Small seeded examples, printed and drawn."""
