"""The `ripmap` command."""
