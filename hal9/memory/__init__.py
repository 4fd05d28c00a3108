"""Room memory."""
