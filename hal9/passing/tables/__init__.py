"""Factor tables, and what inference over them returns."""
