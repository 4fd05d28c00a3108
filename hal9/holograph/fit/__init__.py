"""From any table to a causal graph: reading, kinds of columns, fitting, reporting."""
