"""Exact inference by junction trees."""
