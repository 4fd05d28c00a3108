"""What to know before the first step: the few causes that cost a repository's runs most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Advice", "AdviceMiner", "Cause", "CauseRecord"]

_FADES = 0.98
"""What a failure is worth after one more run: causes that are gone are forgotten."""

Cause = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """One cause, what it cost so far, and a sentence."""

    cause: Cause
    worth: float
    text: str


@dataclass(slots=True)
class CauseRecord:
    """What a cause has cost: faded worth, runs, an error line, and what helped."""

    worth: float = 0.0
    runs: int = 0
    line: str = ""
    remedies: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For storage; see `of`."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "CauseRecord":
        """Out of `as_json`."""
        return cls(float(value["worth"]), int(value["runs"]), str(value["line"]), dict(value["remedies"]))


def _nothing(_repo: str) -> dict[Cause, CauseRecord]:
    return {}


class AdviceMiner:
    """Counts failed steps per cause and repository; see `AdviceMiner.advise`."""

    def __init__(self, *, read: Callable[[str], dict[Cause, CauseRecord]] | None = None) -> None:
        self._read = read or _nothing
        self._known: dict[str, dict[Cause, CauseRecord]] = {}
        self._changed: set[str] = set()

    def take_changed(self) -> list[tuple[str, Cause, CauseRecord]]:
        """Causes of repositories that have learned since the last call."""
        found = [(repo, cause, one) for repo in self._changed for cause, one in self._known[repo].items()]
        self._changed.clear()
        return found

    def forget(self) -> None:
        """Read everything anew: another process may have written. Nothing may be waiting to be written."""
        self._known.clear()

    def _of(self, repo: str) -> dict[Cause, CauseRecord]:
        if repo not in self._known:
            self._known[repo] = self._read(repo)
        return self._known[repo]

    def learn(self, repo: str, failures: Sequence[tuple[Cause, str, str]]) -> None:
        """A run is over: each failed step's cause, error line and what helped ("" when nothing did)."""
        for where in (repo, "*"):
            known = self._of(where)
            self._changed.add(where)
            for one in known.values():
                one.worth *= _FADES
            seen: set[Cause] = set()
            for cause, line, remedy in failures:
                one = known.setdefault(cause, CauseRecord())
                one.worth += 1.0
                one.line = line
                one.runs += int(cause not in seen)
                seen.add(cause)
                if remedy:
                    one.remedies[remedy] = one.remedies.get(remedy, 0) + 1

    def advise(self, repo: str, *, limit: int = 3, least_runs: int = 1) -> list[Advice]:
        """At most `limit` causes, the costliest first: those of this repository, then those of all."""
        chosen: dict[Cause, Advice] = {}
        for where, least in ((repo, least_runs), ("*", 3)):
            ranked = sorted(self._of(where).items(), key=lambda item: (-item[1].worth, item[0]))
            for cause, one in ranked:
                if len(chosen) == limit:
                    return list(chosen.values())
                if one.runs >= least and cause not in chosen:
                    chosen[cause] = Advice(cause, one.worth, _told(cause, one))
        return list(chosen.values())


def _told(cause: Cause, one: CauseRecord) -> str:
    helped = max(one.remedies, key=lambda text: (one.remedies[text], text), default="")
    return f"{': '.join(cause)} failed in {one.runs} runs ({one.line[:160]})" + (
        f"; {helped}" if helped else ""
    )
