"""Graphs, edge posteriors and the parameters of a linear model."""
