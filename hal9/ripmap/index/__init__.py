"""The index of a tree: built, opened, patched, kept."""
