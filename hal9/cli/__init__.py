"""The `hal9` command line: parses, calls, prints. Commands load when they are used."""

from hal9.cli.app import cli, main

__all__ = ["cli", "main"]
