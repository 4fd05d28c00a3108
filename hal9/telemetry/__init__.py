"""Traces out of recorded steps: `spans` makes them (plain values), `exporter` sends them to a collector."""
