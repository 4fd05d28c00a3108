"""Entry point of the `ripmap` command and of `python -m hal9.ripmap`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line, in the process that keeps the tree warm if there is one."""
    import sys  # noqa: PLC0415

    from hal9.ripmap.serving.warm_client import ask  # noqa: PLC0415

    code = ask(sys.argv[1:])
    if code is not None:
        sys.exit(code)
    try:
        from hal9.ripmap.cli.main import main as run  # noqa: PLC0415 - a warm server answers without it
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hal9"):
            raise
        from hal9.errors.base import install_hint  # noqa: PLC0415 - only when something is missing

        print(f"ripmap: {error.name} is not installed: {install_hint()} brings it.", file=sys.stderr)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
