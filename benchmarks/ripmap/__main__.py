"""Every measurement of ripmap by its name: ``python -m benchmarks.ripmap --ablate`` and so on.

What follows the name is handed on; `--accuracy` is meant when none is given.
"""

import sys
from importlib import import_module

PARTS = {
    "--accuracy": "accuracy",
    "--languages": "languages",
    "--ablate": "ablate",
    "--symbols": "symbols",
    "--rerank": "rerank",
    "--speed": "speed",
    "--scale": "scale",
}


def main() -> None:
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__, "\n".join(f"  {flag:12} benchmarks/ripmap/{name}.py" for flag, name in PARTS.items()))
        return
    name = "accuracy"
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        name = PARTS[sys.argv.pop(1)]
    import_module(f"benchmarks.ripmap.{name}").main()


if __name__ == "__main__":
    main()
