"""Prompt tuning with local models on three small sets, beside GEPA, MIPROv2 and random search."""
