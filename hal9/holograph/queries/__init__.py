"""Which question to ask next, and who answers it."""
