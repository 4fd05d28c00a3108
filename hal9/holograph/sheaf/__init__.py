"""Local sections, and what keeps them from gluing."""
