"""Faults seeded into real packages: who finds and repairs them, at what cost in tokens."""
