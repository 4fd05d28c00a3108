"""Room belief."""
