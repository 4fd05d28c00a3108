"""Proposed changes: adjusted, admitted by measurement, rolled back."""
