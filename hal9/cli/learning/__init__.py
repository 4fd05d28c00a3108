"""Commands about what was learned, and how that is drawn."""
