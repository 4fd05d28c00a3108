"""Entry point of the `ripmap` command and of `python -m hal9.ripmap`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    from hal9.ripmap.cli import main as run  # noqa: PLC0415 - a warm server answers without it

    run()


if __name__ == "__main__":
    main()
