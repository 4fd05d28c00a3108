"""Room trainer."""
