"""The space of parameters, and numerical optimisers over it."""
