"""Factor graphs and Bayesian networks."""
