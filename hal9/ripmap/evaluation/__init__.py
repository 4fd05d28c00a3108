"""How good a ranking is, and the cases that tell."""
