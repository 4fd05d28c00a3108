"""Recorded runs of a strong model, done again through the tool loop, killed on the way."""
