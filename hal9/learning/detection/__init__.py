"""What went wrong, and how badly."""
