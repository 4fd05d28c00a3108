"""Definitions, references, imports and headings out of one file's text."""
