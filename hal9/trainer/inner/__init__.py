"""The inner loop (L1): a mind or an optimiser proposes parameters."""
