"""What learning keeps: the ledger, single values, prompts in force, stability."""
