"""Durable tool loops: steps per second, and time to resume."""
