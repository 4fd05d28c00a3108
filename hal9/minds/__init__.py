"""Room minds."""
