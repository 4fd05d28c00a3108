"""Brokers: the embedded one, its permissions, and looking at one of the user's own."""
