"""The room's errors, loaded when one is raised: a query that goes well need not wait for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hal9.errors import (
        BudgetTooSmall,
        CacheUnusable,
        FileNotIndexed,
        GitFailed,
        Hal9Error,
        NotARepository,
        ParameterInvalid,
        PresetInvalid,
        RipmapConfigWrong,
        SymbolUnknown,
        TokenizerUnusable,
    )

__all__ = [
    "BudgetTooSmall",
    "CacheUnusable",
    "FileNotIndexed",
    "GitFailed",
    "Hal9Error",
    "NotARepository",
    "ParameterInvalid",
    "PresetInvalid",
    "RipmapConfigWrong",
    "SymbolUnknown",
    "TokenizerUnusable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("hal9.errors"), name)
