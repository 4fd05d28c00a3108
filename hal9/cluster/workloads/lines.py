"""What a workload's child process says, line by line, checked where it enters the daemon."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.cluster import WorkloadUnreadable
from hal9.signals import Tally
from hal9.text import clean_text

__all__ = ["LINE_BYTES", "WorkloadLine", "read_line"]

LINE_BYTES = 4 * 1024 * 1024
_TEXT_CHARACTERS = 2000
_SHOWN = 200
_KNOWN_COUNTS = ("calls", "prompt_tokens", "completion_tokens", "usd", "seconds")


@dataclass(frozen=True, slots=True)
class WorkloadLine:
    """One line.

    Attributes:
        progress: a sign of life, with what it says of itself; None when the line is none.
        text: the sign of life in words.
        tally: what was spent since the line before; an unknown price counts as nothing.
        result: the result; None when the line is none.
    """

    progress: dict[str, Any] | None = None
    text: str = ""
    tally: Tally = field(default_factory=Tally)
    result: dict[str, Any] | None = None


def read_line(raw: bytes) -> WorkloadLine:
    """Check one line.

    Raises:
        WorkloadUnreadable: it is not what the protocol allows; says what.
    """
    shown = raw[:_SHOWN].decode("utf-8", "replace").strip()
    try:
        said = _cleaned(json.loads(raw.decode("utf-8", "replace")))
    except (ValueError, RecursionError) as error:
        raise WorkloadUnreadable(line=shown, problem=f"is no JSON ({error})") from error
    if not isinstance(said, dict):
        raise WorkloadUnreadable(line=shown, problem="is no JSON object")
    progress, result = said.get("progress"), said.get("result")
    for name, value in (("progress", progress), ("result", result)):
        if value is not None and not isinstance(value, dict):
            raise WorkloadUnreadable(line=shown, problem=f"has a {name} that is no object")
    if progress is None:
        return WorkloadLine(result=result)
    return WorkloadLine(
        progress=progress,
        text=str(progress.get("line", ""))[:_TEXT_CHARACTERS],
        tally=_tally(progress.get("tally"), shown),
        result=result,
    )


def _tally(said: Any, shown: str) -> Tally:
    if said is None:
        return Tally()
    if not isinstance(said, dict):
        raise WorkloadUnreadable(line=shown, problem="has a tally that is no object")
    counts: dict[str, Any] = {}
    for name, value in said.items():
        if name not in _KNOWN_COUNTS:
            raise WorkloadUnreadable(line=shown, problem=f"has a tally with an unknown count {name!r}")
        if value is None:
            continue  # a price nobody knows
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise WorkloadUnreadable(line=shown, problem=f"has a tally whose {name} is {value!r}")
        counts[name] = value if name in ("usd", "seconds") else int(value)
    return Tally(**counts)


def _cleaned(value: Any) -> Any:
    """Texts that can be stored, numbers that JSON has."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value
