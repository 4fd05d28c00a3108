"""The commands `ripmap-train` and `ripmap-train-outer`."""
