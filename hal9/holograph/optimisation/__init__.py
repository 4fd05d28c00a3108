"""Losses of the continuous belief, their sum, its Fisher information, and descent on it."""
