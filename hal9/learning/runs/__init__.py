"""Runs of agents: what failed in them and why, what helped, and what foretells a failure."""
