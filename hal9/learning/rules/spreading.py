"""When a lesson was taught in several places, a wider one is put to the user; nothing widens by itself."""

from dataclasses import dataclass

from hal9.memory import EVERYWHERE, Rule, RuleStore
from hal9.memory.records import GLOB
from hal9.memory.rules.wording import subject_words

__all__ = ["Spread", "spread_of"]

_PLACES = 3
_SAME = 0.6
"""Share of content words, of the two rules together, from which they say the same."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The same lesson in several places.

    Attributes:
        place: the folder that holds them all, or the whole project.
        rules: their numbers.
    """

    place: str
    rules: tuple[int, ...]


def spread_of(book: RuleStore, one: Rule) -> Spread | None:
    """Rules in force that say the same as this one elsewhere in its repository; None below three places."""
    if not one.scope.place or one.scope.place == EVERYWHERE or one.scope.place.startswith(GLOB):
        return None
    alike = [
        other
        for other in book.all(states=("admitted",))
        if other.scope.workspace == one.scope.workspace
        and other.scope.place not in ("", EVERYWHERE)
        and not other.scope.place.startswith(GLOB)
        and (other.id == one.id or _same(one.rule, other.rule))
    ]
    places = sorted({other.scope.place for other in alike})
    if len(places) < _PLACES:
        return None
    return Spread(_around(places), tuple(sorted(other.id for other in alike)))


def _same(first: str, second: str) -> bool:
    mine, other = subject_words(first), subject_words(second)
    return bool(mine) and len(mine & other) >= _SAME * len(mine | other)


def _around(places: list[str]) -> str:
    """The deepest folder that holds all places."""
    folders = [place.split("/")[:-1] for place in places]  # without the file's name, or the stars
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared) + "/**" if shared else EVERYWHERE
