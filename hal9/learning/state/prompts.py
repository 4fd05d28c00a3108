"""Which promptgram a neuron works with: its file plus what was learned, or a candidate for some of the tasks.

The user's files are never written. When the user edits a file, what was learned is merged into the new text;
where both changed the same item, the file wins and what was learned there is set aside, visibly.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hal9.errors.base import PromptgramError
from hal9.errors.promptgram import PromptgramMergeConflict
from hal9.learning.state.key_value import KeyValueStore
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram, merge

__all__ = ["Canary", "PromptStore", "in_canary"]


@dataclass(frozen=True, slots=True)
class Canary:
    """A candidate that a share of the tasks gets."""

    change: str
    promptgram: Promptgram
    share: float


def in_canary(change: str, task_id: str, share: float) -> bool:
    """Whether a task belongs to the canary's share: decided by hash, the same wherever it is asked."""
    digest = hashlib.sha256(f"{change}/{task_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


class PromptStore:
    """The promptgrams in force. Reading costs a dictionary look-up; writes go to the memory file first.

    Args:
        store: the memory file.
        files: the promptgrams as the user's files have them.
    """

    def __init__(self, store: MemoryStore, files: Mapping[str, Promptgram]) -> None:
        self.files = dict(files)
        self.notices: list[str] = []
        self._key_values = KeyValueStore(store)
        self._current: dict[str, Promptgram] = dict(self.files)
        self._canaries: dict[str, Canary] = {}
        self._version = self._key_values.foreign_changes()
        self.reload()

    def reload(self) -> None:
        """Read everything anew."""
        current = dict(self.files)
        for neuron, kept in self._key_values.named("prompt:").items():
            if neuron in self.files:
                current[neuron] = self._merged(neuron, kept)
        canaries = {}
        for neuron, kept in self._key_values.named("canary:").items():
            if neuron in self.files:
                text = Promptgram.parse(kept["text"], source=f"canary of {neuron}")
                canaries[neuron] = Canary(kept["change"], text, float(kept["share"]))
        self._current, self._canaries = current, canaries

    def reload_if_changed(self) -> bool:
        """Read everything anew if another process has written to the memory file since; whether it has."""
        version = self._key_values.foreign_changes()
        if version == self._version:
            return False
        self._version = version
        self.reload()
        return True

    def current(self, neuron: str) -> Promptgram:
        """What the neuron works with, canaries aside."""
        return self._current[neuron]

    def canary(self, neuron: str) -> Canary | None:
        """The running canary of a neuron."""
        return self._canaries.get(neuron)

    def prompt_for(self, neuron: str, *, task_id: str) -> Promptgram:
        """What the neuron works with for this task."""
        canary = self._canaries.get(neuron)
        if canary is not None and in_canary(canary.change, task_id, canary.share):
            return canary.promptgram
        return self._current[neuron]

    def compares(self, neuron: str) -> bool:
        """Whether some of the neuron's tasks get a candidate, and are compared with the others."""
        return neuron in self._canaries

    def in_force(self, neuron: str) -> Promptgram:
        """Like `current`, but read from the memory file: also what the running transaction has written."""
        kept = self._key_values.get(f"prompt:{neuron}")
        return self.files[neuron] if kept is None else self._merged(neuron, kept)

    def knows(self, neuron: str) -> bool:
        """Whether there is such a neuron here."""
        return neuron in self.files

    # --- writing: call inside `store.writing()`, then `reload()` after the commit -----------------

    def write_current(self, neuron: str, promptgram: Promptgram) -> None:
        """Make a promptgram the neuron's own; one equal to the file removes the trace."""
        file = self.files[neuron]
        if promptgram.dump() == file.dump():
            self._key_values.put(f"prompt:{neuron}", None)
        else:
            self._key_values.put(f"prompt:{neuron}", {"file": file.dump(), "text": promptgram.dump()})

    def write_canary(self, neuron: str, canary: Canary | None) -> None:
        """Begin or end a canary."""
        value = None
        if canary is not None:
            value = {"change": canary.change, "text": canary.promptgram.dump(), "share": canary.share}
        self._key_values.put(f"canary:{neuron}", value)

    def _merged(self, neuron: str, kept: Mapping[str, str]) -> Promptgram:
        file = self.files[neuron]
        try:
            learned = Promptgram.parse(kept["text"], source=f"learned prompt of {neuron}")
            if kept["file"] == file.dump():
                return learned
            base = Promptgram.parse(kept["file"], source=f"earlier file of {neuron}")
            return merge(base, file, learned)
        except PromptgramMergeConflict as error:
            self.notices.append(
                f"{neuron}: its file was edited where learning had changed it; the file wins. {error}"
            )
        except PromptgramError as error:
            self.notices.append(f"{neuron}: what was learned cannot be read, its file is used. {error}")
        return file
