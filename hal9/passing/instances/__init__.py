"""One engine, many algorithms."""
