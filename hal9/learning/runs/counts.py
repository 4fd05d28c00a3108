"""What a miner needs of the place where its counts lie: a dictionary, or rows of a table."""

from typing import Protocol, TypeVar

__all__ = ["Counts"]

KeyT_contra = TypeVar("KeyT_contra", contravariant=True)
ValueT = TypeVar("ValueT")


class Counts(Protocol[KeyT_contra, ValueT]):
    """Values by key. What `setdefault` returns may be changed in place."""

    def get(self, key: KeyT_contra, /) -> ValueT | None:
        """The value, or None."""
        ...

    def setdefault(self, key: KeyT_contra, default: ValueT, /) -> ValueT:
        """The value, stored as `default` when there is none."""
        ...
