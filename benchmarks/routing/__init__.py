"""Regret of the routing policies in made-up worlds, and what sparse routing saves and costs."""
