"""Room ripmap."""
