"""Commits, read from git."""
