"""Evolved promptgrams on disk: `inner_v001.md` with `inner_v001.toml` beside it, never overwritten."""

import fcntl
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal9.errors.trainer import ScratchpadInvalid
from hal9.promptgram import Promptgram
from hal9.promptgram.meta import dump_toml

__all__ = ["PromptRegistry", "Shelved"]

_NAME = re.compile(r"inner_v(\d{3,})\.md$")


@dataclass(frozen=True, slots=True)
class Shelved:
    """A stored promptgram with its number's name, such as ``inner_v002``."""

    name: str
    promptgram: Promptgram

    @property
    def hash(self) -> str:
        """The content hash."""
        return self.promptgram.content_hash


class PromptRegistry:
    """The promptgrams of one run; numbers rise and are never used twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """All names, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [path.stem for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda name: int(name.rpartition("v")[2]))

    def load(self, name: str) -> Shelved:
        """One promptgram by name.

        Raises:
            ScratchpadInvalid: its metadata names another content than the file has.
        """
        found = Promptgram.load(self.folder / f"{name}.md")
        facts = self.facts(name)
        if facts.get("hash") != found.content_hash:
            raise ScratchpadInvalid(
                path=str(self.folder / f"{name}.md"), detail="the promptgram is not the one that was stored"
            )
        return Shelved(name, found)

    def facts(self, name: str) -> dict[str, Any]:
        """The metadata file's content."""
        try:
            return tomllib.loads((self.folder / f"{name}.toml").read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ScratchpadInvalid(path=str(self.folder / f"{name}.toml"), detail=str(error)) from error

    def find(self, promptgram: Promptgram) -> Shelved | None:
        """The stored promptgram of equal content, if there is one."""
        for name in self.names():
            found = self.load(name)
            if found.hash == promptgram.content_hash:
                return found
        return None

    def add(
        self, promptgram: Promptgram, *, parent: str = "", created_at: float, description: str = ""
    ) -> Shelved:
        """Store a promptgram under the next number; one that is there keeps its number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w", encoding="utf-8") as lock:
            # Runs share the shelf; two at once must not take one number.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self.find(promptgram) or self._add(promptgram, parent, created_at, description)

    def _add(self, promptgram: Promptgram, parent: str, created_at: float, description: str) -> Shelved:
        number = max((int(name.rpartition("v")[2]) for name in self.names()), default=0) + 1
        name = f"inner_v{number:03d}"
        facts = {
            "id": name,
            "parent_id": parent,
            "version": number,
            "hash": promptgram.content_hash,
            "created_at": created_at,
            "description": description,
            "mutable": ["Policy", "Heuristics", "Style"],
            "immutable": ["Role"],
            "injected": ["API_contract", "Output_schema"],
        }
        # The promptgram comes last: a name counts only with its metadata in place.
        _replace(self.folder / f"{name}.toml", dump_toml(facts))
        _replace(self.folder / f"{name}.md", promptgram.dump())
        return Shelved(name, promptgram)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
