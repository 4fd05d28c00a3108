"""What every measurement here writes down besides its figures."""

from pathlib import Path
from typing import Any

from benchmarks import report

__all__ = ["write"]


def write(name: str, settings: dict[str, Any], figures: Any, *packages: str) -> Path:
    """Write benchmarks/results/memory-NAME.json."""
    return report.write(
        f"memory-{name}", settings, figures, "numpy", "sqlite-utils", "onnxruntime", *packages
    )
