"""The outer loop (L2): the promptgram that steers L1 evolves."""
