"""Tests of causal discovery."""
