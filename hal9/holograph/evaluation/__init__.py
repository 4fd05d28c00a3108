"""Distances between graphs, scenarios, curves over queries."""
