"""The parts of a divided task: which can be sent, which failed, and what all of them changed as one."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import ChangesMissing, SnapshotDamaged
from hal9.journal.work import Part, Work
from hal9.signals.labels import AFTER, BEGINS_WITH, MENDS, STAGED
from hal9.workbench.changes import ChangeSet, load_changes
from hal9.workbench.merging import MergeConflict, Merged, merge_changes
from hal9.workbench.patches import PARTS
from hal9.workbench.received import receive_changes

__all__ = ["MergedParts", "conflict_text", "is_staged", "merge_parts", "parts_in_force", "ready_parts"]

_MOST_OF_A_DIFF = 6000  # characters


@dataclass(frozen=True, slots=True)
class MergedParts:
    """What parts changed, as one.

    Attributes:
        kept: the changes; None when there are none.
        name: where they lie, below the folder of the task's change sets.
        conflicts: what does not go together, and is in neither form in `kept`.
    """

    kept: ChangeSet | None = None
    name: str = ""
    conflicts: tuple[MergeConflict, ...] = field(default=())


def is_staged(work: Work) -> bool:
    """Whether the parts' changes are kept and merged, instead of made in the workspace one by one."""
    return any(part.payload.labels.get(STAGED) for part in work.parts)


def parts_in_force(work: Work) -> tuple[Part, ...]:
    """The parts from the last one on that brought everything together; those before it are settled."""
    mending = [at for at, part in enumerate(work.parts) if part.payload.labels.get(MENDS) == "yes"]
    return work.parts[mending[-1] :] if mending else work.parts


def ready_parts(work: Work) -> list[Part]:
    """Parts that were not sent yet and can be: none failed, and what they build on is done."""
    parts = parts_in_force(work)
    if any(part.result is not None and not part.result.ok for part in parts):
        return []
    done = {part.position for part in work.parts if part.result is not None and part.result.ok}
    return [part for part in parts if part.signal_id is None and _needs(part, work) <= done]


def _needs(part: Part, work: Work) -> set[int]:
    if part.payload.workspace is None:
        return set()
    if is_staged(work):
        named = part.payload.labels.get(AFTER, "")
        return {int(number) for number in named.split(",") if number}
    return {other.position for other in work.parts if other.position < part.position}


def merge_parts(changes: Path, work: Work, *, into: str, only_before: Part | None = None) -> MergedParts:
    """Merge what the parts changed, one after the other as they stand in the plan. Blocks.

    Args:
        changes: where change sets of all tasks are kept.
        work: the divided task.
        into: a name of its own for the folder of the merged change set.
        only_before: merge only what this part builds on.

    Raises:
        TurnFailed: a part's changes are not kept here.
    """
    folder = changes / work.signal.task_id
    taken = _below(only_before, work) if only_before is not None else work.parts
    merged = MergedParts()
    for part in taken:
        kept = _changes_of(part, work, folder)
        if kept is None:
            continue
        if merged.kept is None or part.payload.labels.get(MENDS) == "yes":
            merged = MergedParts(kept, f"{PARTS}/{part.payload.labels[STAGED]}")
            continue
        began = part.payload.labels.get(BEGINS_WITH)
        ancestor = load_changes(folder / began) if began else None
        name = f"{PARTS}/{work.signal.id}.{into}-{part.position}"
        both = _merged_into(folder / name, merged.kept, kept, ancestor)
        merged = MergedParts(both.kept, name, (*merged.conflicts, *both.conflicts))
    return merged


def _merged_into(folder: Path, ours: ChangeSet, theirs: ChangeSet, ancestor: ChangeSet | None) -> Merged:
    """Merge; what stands in the folder already is the same, and a part may be at work on it."""
    with tempfile.TemporaryDirectory(prefix="merge-", dir=folder.parent) as scratch:
        both = merge_changes(ours, theirs, Path(scratch) / "merged", ancestor=ancestor)
        if not folder.exists():
            both.kept.folder.rename(folder)
    return Merged(load_changes(folder), both.conflicts)


def _below(part: Part, work: Work) -> Sequence[Part]:
    """The parts that one builds on, and those that these build on."""
    wanted, waiting = set[int](), _needs(part, work)
    while waiting:
        wanted |= waiting
        waiting = set().union(*(_needs(work.parts[at], work) for at in waiting)) - wanted
    return [other for other in work.parts if other.position in wanted]


def _changes_of(part: Part, work: Work, folder: Path) -> ChangeSet | None:
    if part.signal_id is None or part.result is None:
        return None
    own = folder / PARTS / part.payload.labels[STAGED]
    try:
        kept = load_changes(own)
    except FileNotFoundError:
        if not part.result.changes:
            return None
        try:
            kept = receive_changes(
                part.result.changes,
                root=Path(part.payload.workspace or ""),
                folder=own,
                task_id=work.signal.task_id,
            )
        except (ChangesMissing, OSError) as error:
            raise TurnFailed(reason="tool_failed", detail=f"part {part.position + 1}: {error}") from error
    except SnapshotDamaged as error:
        raise TurnFailed(reason="tool_failed", detail=f"part {part.position + 1}: {error}") from error
    return kept if kept.changes else None


def conflict_text(conflicts: Sequence[MergeConflict]) -> str:
    """Conflicts in words, with both diffs."""
    told = []
    for conflict in conflicts:
        told.append(f"{conflict.path}: {conflict.why}.")
        for who, diff in (("One part", conflict.ours), ("Another part", conflict.theirs)):
            if diff:
                told.append(f"{who} changed it like this:\n```diff\n{_cut(diff)}\n```")
    return "\n".join(told)


def _cut(diff: str) -> str:
    diff = diff.strip("\n")
    if len(diff) <= _MOST_OF_A_DIFF:
        return diff
    return f"{diff[:_MOST_OF_A_DIFF]}\n… {len(diff) - _MOST_OF_A_DIFF} more characters …"
