"""Named ways in which training goes wrong, read from the record."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hal9.trainer.record.episodes import InnerEpisode

__all__ = ["EXPLANATIONS", "detect_inner", "detect_not_steering"]

EXPLANATIONS = {
    "basin_lock_in": "only one or two parameters were touched in five episodes",
    "plateau": "nothing was kept for five episodes, though different parameters were tried",
    "schema_corruption": "replies reason but propose nothing, or do not fit the schema, twice in a row",
    "collapse": "a candidate lost more than 0.05 NDCG",
    "shadow_collapse": "under a candidate references link less than half of what they did, or less than one "
    "file each, or move less than half of PageRank's mass: the graph says little",
    "oscillation": "a parameter was pushed to and fro",
    "repetition": "the same candidate was proposed again",
    "l2_not_steering": "edits changed neither which parameters are touched nor the result",
}
"""What each name means."""
_WINDOW = 5
_COLLAPSE = 0.05
_FADED = 0.5
_FLIPS = 3
_ALIKE = 0.9


def detect_inner(entries: Sequence[InnerEpisode]) -> list[str]:
    """What is wrong after the last of these episodes, worst first."""
    found = []
    if entries and any(trial["gain"] < -_COLLAPSE for trial in entries[-1].get("trials", ())):
        found.append("collapse")
    if entries and _faded(entries[-1].get("graph") or {}):
        found.append("shadow_collapse")
    if _corrupted(entries[-2:]):
        found.append("schema_corruption")
    window = entries[-_WINDOW:]
    if len(window) == _WINDOW and _narrow(window):
        found.append("basin_lock_in")
    elif len(window) == _WINDOW and not any(entry["kept"] for entry in window):
        found.append("plateau")
    if _oscillates(entries[-2 * _WINDOW :]):
        found.append("oscillation")
    if entries and entries[-1].get("repeated"):
        found.append("repetition")
    return found


def _faded(graph: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether the graph under a candidate, beside the one the run began with, has lost what it says."""
    if not graph:
        return False
    start, now = graph["start"], graph["candidate"]
    thin = any(
        now[name] < _FADED * start[name] or now[name] < 1 <= start[name] for name in ("shadow", "final")
    )
    return thin or now["mass"] < _FADED * start["mass"]


def _narrow(window: Sequence[InnerEpisode]) -> bool:
    return 0 < len({name for entry in window for name in _touched(entry)}) <= 2


def _touched(entry: InnerEpisode) -> Sequence[str]:
    return list(entry.get("proposed_changes") or {})


def _corrupted(last: Sequence[InnerEpisode]) -> bool:
    def bad(entry: InnerEpisode) -> bool:
        return bool(entry.get("invalid_reply")) or (bool(entry.get("diagnosis")) and not _touched(entry))

    return len(last) == 2 and all(bad(entry) for entry in last)


def _oscillates(entries: Sequence[InnerEpisode]) -> bool:
    pushes: dict[str, list[str]] = {}
    for entry in entries:
        for name, step in (entry.get("proposed_changes") or {}).items():
            pushes.setdefault(name, []).append(step[0])
    return any(sum(a != b for a, b in pairwise(seen)) >= _FLIPS for seen in pushes.values())


def detect_not_steering(
    child: Mapping[str, int], parent: Mapping[str, int], gain: float, error: float
) -> bool:
    """Whether an edited promptgram left the tuner's behaviour as it was.

    Args:
        child: how often each parameter was touched under the edited promptgram.
        parent: the same under its parent.
        gain: paired difference of final NDCG.
        error: its standard error.
    """
    total = sum(max(child.get(n, 0), parent.get(n, 0)) for n in {*child, *parent})
    shared = sum(min(child.get(n, 0), parent.get(n, 0)) for n in {*child, *parent})
    return total > 0 and shared / total >= _ALIKE and abs(gain) <= max(error, 1e-9)
