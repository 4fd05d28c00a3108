"""Room cluster."""
