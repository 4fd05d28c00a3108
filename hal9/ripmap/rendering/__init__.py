"""From a ranking to a map within a token budget."""
