"""Rules out of corrections."""
