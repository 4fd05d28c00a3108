"""Which files there are, in which language, in which role, decoded how."""
