"""HAL9: a cluster of language-model neurons that learns from its errors.

Importing this package has no side effects and loads nothing heavy; `connect`
is resolved on first use.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:
    if name == "connect":
        from importlib import import_module  # noqa: PLC0415 - keeps `import hal9` free of the cluster

        return import_module("hal9.cluster").connect
    raise AttributeError(f"module 'hal9' has no attribute {name!r}")
