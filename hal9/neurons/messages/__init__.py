"""What a mind is told and what it answers, for every kind of turn."""
