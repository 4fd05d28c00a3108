"""Finding what applies to a task, and where it goes in a prompt."""
