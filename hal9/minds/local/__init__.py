"""Local models: the catalogue, fetching, the server process and the mind over it."""
