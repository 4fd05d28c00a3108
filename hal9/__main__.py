"""Entry point of the `hal9` command and of `python -m hal9`."""

from hal9.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
