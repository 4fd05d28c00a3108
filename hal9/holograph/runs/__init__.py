"""A run from its first question to its graph, kept on disk."""
