"""Losses, objective, Fisher information, descent."""
