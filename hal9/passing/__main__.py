"""`python -m hal9.passing demo NAME`: run one example, print its figures, draw its picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hal9.errors.base import Hal9Error
from hal9.passing.demos.demos import DEMOS
from hal9.passing.demos.pictures import save
from hal9.text import first_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hal9.passing", description="Message passing on graphs.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run one example, or all of them")
    demo.add_argument("name", choices=[*DEMOS, "all"], help="which one")
    demo.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw into FILE (.png); with 'all' a folder"
    )
    chosen = parser.parse_args(arguments)
    names = list(DEMOS) if chosen.name == "all" else [chosen.name]
    try:
        for name in names:
            made = DEMOS[name]()
            print(f"{name}: {first_line(DEMOS[name].__doc__ or '')}")
            for line in made.lines:
                print(f"  {line}")
            if chosen.picture is not None:
                target = chosen.picture / f"{name}.png" if chosen.name == "all" else chosen.picture
                save(made, target)
                print(f"  picture: {target}")
    except Hal9Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
