"""`scripts/bench holograph {compare|discovery|tiers|failures|reliability|obstruction|kernels} [arguments]`; see README.md."""

import importlib
import sys

MODULES = ("compare", "discovery", "tiers", "failures", "reliability", "obstruction", "kernels")


def main():
    """Run the named benchmark with the rest of the arguments."""
    if len(sys.argv) < 2 or sys.argv[1] not in MODULES:
        sys.exit(f"holograph: name one of {', '.join(MODULES)}; for query curves run `holograph bench`")
    name = sys.argv.pop(1)
    importlib.import_module(f"benchmarks.holograph.{name}").main()


main()
