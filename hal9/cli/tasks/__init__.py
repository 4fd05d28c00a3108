"""Commands about tasks, and how tasks are drawn."""
