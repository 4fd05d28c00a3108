"""The memory file: schema, rows, one writer."""
