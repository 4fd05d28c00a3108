"""Whether a turn goes round in circles: one call with one result, edits taken back again and again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hal9.journal.turns import TurnEntry

__all__ = ["Circle", "find_circle"]

_REMIND_AT = 3
_STOP_AT = 5
_LOOKED_BACK = 24


@dataclass(frozen=True, slots=True)
class Circle:
    """What is repeated; `stops` says that reminding did not help."""

    text: str
    stops: bool
    count: int


def find_circle(entries: Sequence[TurnEntry]) -> Circle | None:
    """The circle that the newest result closes, if any."""
    newest = islice((entry for entry in reversed(entries) if entry.kind == "result"), _LOOKED_BACK)
    results = list(newest)[::-1]
    if not results:
        return None
    for circle in (_same_call(results), _same_state(results), _failures(results)):
        if circle is not None:
            return circle
    return None


def _same_call(results: Sequence[TurnEntry]) -> Circle | None:
    count = sum(1 for entry in results if _same(entry.body, results[-1].body))
    if count < _REMIND_AT:
        return None
    text = f"the call {results[-1].body['tool']} with these arguments gave the same result {count} times"
    return Circle(text, count >= _STOP_AT, count)


def _same_state(results: Sequence[TurnEntry]) -> Circle | None:
    """The newest change brought a file back to a text it had several times before."""
    state = results[-1].body.get("state")
    if not state:
        return None
    sequence = [entry.body["state"] for entry in results if entry.body.get("state")]
    turns: Counter[tuple[str, str]] = Counter()
    last: dict[str, str] = {}
    for one in sequence:
        for path, digest in one.items():
            if last.get(path) != digest:
                turns[path, digest] += 1
                last[path] = digest
    path, digest = next(iter(state.items()))
    count = turns[path, digest]
    if count < _REMIND_AT:
        return None
    return Circle(
        f"{path} was changed back and forth to the same text {count} times", count >= _STOP_AT, count
    )


def _failures(results: Sequence[TurnEntry]) -> Circle | None:
    """Nothing but calls that could not be carried out."""
    count = 0
    for entry in reversed(results):
        observation = entry.body["observation"]
        if observation["ok"] or observation["exit_code"] is not None:
            break
        count += 1
    if count not in (5, 10):
        return None
    return Circle(f"{count} calls one after the other could not be carried out", count >= 10, count)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results are of the same call, and the same."""
    same = one["tool"] == other["tool"] and one["arguments"] == other["arguments"]
    return bool(same and one["observation"]["text"] == other["observation"]["text"])
