"""Room neurons."""
