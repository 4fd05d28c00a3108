"""Rules as YAML that people read, diff and share."""
