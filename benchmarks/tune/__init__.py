"""Prompt tuning beside GEPA and random search, on the same scripted world."""
