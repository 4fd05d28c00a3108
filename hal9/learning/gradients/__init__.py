"""Error gradients: criticised, propagated, applied."""
