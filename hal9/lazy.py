"""A room's public face whose modules load when one of their names is first used.

Every start of `hal9` loads this, hook calls of other agents too: typing and importlib would be most of it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

__all__ = ["lazy_names"]


def lazy_names(room: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        room: the package's `__name__`.
        homes: for each of its modules the names that stand in it.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        import importlib  # noqa: PLC0415

        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{room}.{home}"), name)
        setattr(sys.modules[room], name, value)
        return value

    return find
