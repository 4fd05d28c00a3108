"""What a turn's copy of the workspace looked like at each recorded step, so that a crash goes back there."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hal9.errors.workbench import MarkUnknown
from hal9.workbench.handles import Entry

__all__ = ["Known", "MarkLog"]


@dataclass(frozen=True, slots=True)
class Known:
    """An entry as it was seen, and the name of its content; "" when it is that of the base."""

    entry: Entry
    digest: str = ""


@dataclass(slots=True)
class MarkLog:
    """An append-only file: one line per mark, with what changed since the mark before.

    A line that a crash cut short is no mark. `note` is what was written with the last mark.
    """

    path: Path
    labels: list[str] = field(default_factory=list)
    note: dict[str, Any] | None = None
    _lines: list[dict[str, Known | None]] = field(default_factory=list)

    def load(self) -> None:
        """Read the file; a torn last line is cut off."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        kept = 0
        for line in data.split(b"\n")[:-1]:
            try:
                row = json.loads(line)
                changed = {
                    path: None if seen is None else Known(Entry(*seen["entry"]), seen["digest"])
                    for path, seen in row["changed"].items()
                }
                label = str(row["label"])
            except (ValueError, KeyError, TypeError):
                break
            self.note = row.get("note")
            self.labels.append(label)
            self._lines.append(changed)
            kept += len(line) + 1
        if kept < len(data):
            os.truncate(self.path, kept)

    def append(
        self, label: str, changed: dict[str, Known | None], note: dict[str, Any] | None = None
    ) -> None:
        """Write a mark; on disk when this returns, if it holds any change."""
        rows = {path: None if seen is None else asdict(seen) for path, seen in changed.items()}
        row = {"label": label, "changed": rows, **({} if note is None else {"note": note})}
        line = json.dumps(row, separators=(",", ":")) + "\n"
        with self.path.open("ab") as stream:
            stream.write(line.encode("ascii"))
            stream.flush()
            if changed:
                os.fsync(stream.fileno())
        self.note = note
        self.labels.append(label)
        self._lines.append(changed)

    def at(self, label: str | None) -> dict[str, Known | None]:
        """Everything that differed from the base at a mark; None is the last, "" the base itself.

        Raises:
            MarkUnknown: no such mark.
        """
        known: dict[str, Known | None] = {}
        if label == "":
            return known
        if label is not None and label not in self.labels:
            raise MarkUnknown(path=str(self.path.parent), label=label)
        last = len(self.labels) if label is None else len(self.labels) - self.labels[::-1].index(label)
        for changed in self._lines[:last]:
            known.update(changed)
        return known

    def cut_after(self, label: str | None) -> None:
        """Forget the marks after one; "" forgets all."""
        if label is None:
            return
        last = 0 if label == "" else len(self.labels) - self.labels[::-1].index(label)
        if last == len(self.labels):
            return
        lines = self.path.read_bytes().split(b"\n")[:last]
        os.truncate(self.path, sum(len(line) + 1 for line in lines))
        del self.labels[last:], self._lines[last:]
        self.note = None
