"""Entry point of the `hal9` command and of `python -m hal9`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; a hook call of another agent takes the short way, without the library of commands."""
    if _HOOK in sys.argv[1:4]:
        from hal9.hooks.client import hook_call  # noqa: PLC0415 - the two ways load different things

        if hook_call(sys.argv[1:]):
            return
    from hal9.cli import main as command_line  # noqa: PLC0415

    command_line()


_HOOK = "hook"

if __name__ == "__main__":
    main()
