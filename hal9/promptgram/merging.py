"""Three-way merge of promptgrams: per section, per item, with typed conflicts."""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from hal9.errors.promptgram import PromptgramMergeConflict
from hal9.promptgram.document import Promptgram
from hal9.promptgram.edits import MUTABLE_SECTIONS
from hal9.promptgram.items import plain
from hal9.promptgram.meta import Meta

__all__ = ["merge"]

_Conflict = tuple[str, str, str | None, str | None]
_KEEP = object()


def merge(base: Promptgram, a: Promptgram, b: Promptgram) -> Promptgram:
    """Both sides' changes since `base` in one promptgram.

    A change that only one side made is taken; the same change on both sides is taken once; items added
    at the same place by both are all kept, in an order that doesn't depend on which side is named first.
    If nothing differs from `a` (or `b`), that very promptgram comes back. Otherwise the result is one version
    above the newer side, its parent the content hash of `base`.

    Raises:
        PromptgramMergeConflict: both sides changed the same item or key differently, or a frozen part
            differs; the error holds every conflict.
    """
    conflicts: list[_Conflict] = []
    for name, values in (("id", (base.id, a.id, b.id)), ("Role", (base.role, a.role, b.role))):
        if len(set(values)) != 1:
            conflicts.append((name, values[0], values[1], values[2]))
    merged: dict[str, Any] = {}
    for section in MUTABLE_SECTIONS:
        items = [side.items(section) for side in (base, a, b)]
        merged[section.lower()] = _merge_items(section, items[0], items[1], items[2], conflicts)
    merged["meta"] = _merge_meta(base.meta, a.meta, b.meta, conflicts)
    if conflicts:
        raise PromptgramMergeConflict(promptgram=base.id, conflicts=tuple(conflicts))
    result = Promptgram(
        id=base.id, role=base.role, version=max(a.version, b.version) + 1, parent=base.content_hash, **merged
    )
    same = [side for side in (a, b) if side.content_hash == result.content_hash]
    return max(same, key=lambda side: (side.version, side.parent or "")) if same else result


def _merge_meta(base: Meta, a: Meta, b: Meta, conflicts: list[_Conflict]) -> Meta:
    merged: dict[str, Any] = {}
    for key in sorted({*base, *a, *b}):
        was, left, right = base.get(key), a.get(key), b.get(key)
        if right in (was, left):
            value = left
        elif left == was:
            value = right
        else:
            conflicts.append((f"front matter {key}", repr(was), repr(left), repr(right)))
            continue
        if value is not None:
            merged[key] = value
    return Meta(merged)


def _merge_items(
    section: str, base: Sequence[str], a: Sequence[str], b: Sequence[str], conflicts: list[_Conflict]
) -> tuple[str, ...]:
    fate_a, gaps_a = _changes(base, a)
    fate_b, gaps_b = _changes(base, b)
    merged = _merge_insertions(gaps_a[0], gaps_b[0])
    for index, item in enumerate(base):
        left, right = fate_a[index], fate_b[index]
        chosen = right if left is _KEEP else left
        if left is not _KEEP and right not in (_KEEP, left):
            conflicts.append((section, item, left, right))
        elif chosen is not None:
            merged.append(item if chosen is _KEEP else chosen)
        merged += _merge_insertions(gaps_a[index + 1], gaps_b[index + 1])
    return _without_new_repeats(merged, a, b)


def _changes(base: Sequence[str], side: Sequence[str]) -> tuple[list[Any], list[list[str]]]:
    """What became of each base item (kept, new text, or None), and what was inserted in each gap."""
    fates: list[Any] = [_KEEP] * len(base)
    gaps: list[list[str]] = [[] for _ in range(len(base) + 1)]
    matcher = SequenceMatcher(None, base, side, autojunk=False)
    for tag, start, end, at, to in matcher.get_opcodes():
        if tag == "equal":
            continue
        paired = min(end - start, to - at)
        for offset in range(end - start):
            fates[start + offset] = side[at + offset] if offset < paired else None
        gaps[end].extend(side[at + paired : to])
    return fates, gaps


def _merge_insertions(a: list[str], b: list[str]) -> list[str]:
    if a == b or not b:
        return list(a)
    first, second = sorted((a, b))
    known = {plain(item) for item in first}
    return first + [item for item in second if plain(item) not in known]


def _without_new_repeats(merged: list[str], a: Sequence[str], b: Sequence[str]) -> tuple[str, ...]:
    """Drop a repetition that neither side has: both added the same item at different places."""
    allowed = Counter(map(plain, a)) | Counter(map(plain, b))
    seen: Counter[str] = Counter()
    kept = []
    for item in merged:
        seen[plain(item)] += 1
        if seen[plain(item)] <= allowed[plain(item)]:
            kept.append(item)
    return tuple(kept)
