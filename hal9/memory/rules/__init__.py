"""Patterns of errors, and the rules that answer them."""
