"""Cases, their scores under parameters, and where they fail."""
