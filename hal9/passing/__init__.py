"""Room passing."""
