"""What a model sees of an action: bounded at both ends, the whole text kept elsewhere."""

from dataclasses import dataclass, replace

__all__ = ["INTERRUPTED", "Observation", "OutputStore", "bounded", "fold"]

INTERRUPTED = "interrupted"
"""The summary of a call that was under way when the process ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """How a tool call ended.

    Attributes:
        text: what the model is shown.
        ok: the action did what it was to do.
        exit_code: of a command.
        full: the whole text when `text` is only a part of it, else empty.
        summary: one line for the trace and for the folded form, such as ``exit code 1``.
        seconds: how long it took.
        ends: the turn ends with this action.
    """

    text: str
    ok: bool = True
    exit_code: int | None = None
    full: str = ""
    summary: str = ""
    seconds: float = 0.0
    ends: bool = False

    @property
    def interrupted(self) -> bool:
        """The process ended before the call had."""
        return self.summary == INTERRUPTED

    def with_reminder(self, reason: str) -> "Observation":
        """With a gate's reminder above it."""
        return replace(self, text=f"Reminder: {reason}\n\n{self.text}")


class OutputStore:
    """Whole texts of this turn's longer outputs, by number; `read` shows them as ``@output/N``."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def keep(self, number: int, text: str) -> None:
        """Remember a text."""
        self._texts[number] = text

    def get(self, path: str) -> str | None:
        """The text of a path such as ``@output/7``; None when it is no such path or nothing is there."""
        name = path.removeprefix("@output/")
        return self._texts.get(int(name)) if name != path and name.isdigit() else None


def bounded(text: str, *, limit: int, number: int) -> tuple[str, str]:
    """The text as it is shown, and the whole one when something was left out.

    Args:
        text: of any length.
        limit: most characters shown.
        number: under which the whole text will be kept.
    """
    if len(text) <= limit:
        return text, ""
    half = limit // 2
    head, tail = text[:half], text[-half:]
    # Whole lines at the cut, where that loses little.
    head_end, tail_start = head.rfind("\n"), tail.find("\n")
    head = head[: head_end + 1] if head_end > half * 3 // 4 else head
    tail = tail[tail_start + 1 :] if 0 <= tail_start < half // 4 else tail
    lines = text.count("\n", len(head), len(text) - len(tail)) + 1
    left_out = len(text) - len(head) - len(tail)
    middle = (
        f"\n[… {left_out} characters (about {lines} lines) left out; "
        f'read with path "@output/{number}" shows them …]\n'
    )
    return head + middle + tail, text


def fold(name: str, what: str, observation_summary: str, number: int, size: int) -> str:
    """The one line an older observation is folded into."""
    kept = f'; read "@output/{number}" shows its {size} characters again' if size else ""
    return f"[folded: {name} {what} → {observation_summary or 'done'}{kept}]"
