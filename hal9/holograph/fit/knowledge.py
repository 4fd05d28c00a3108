"""What is known before a table is looked at: tiers in time, edges that cannot or must be."""

from collections.abc import Sequence
from dataclasses import dataclass

from hal9.errors.holograph import KnowledgeContradictory, UnknownVariable
from hal9.holograph.model.edge_posterior import EdgePosterior

__all__ = ["Knowledge"]

_SURE = 1e6


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Background knowledge.

    Attributes:
        tiers: groups of variables, earliest first; nothing in a later one causes what is in an earlier one.
            Variables that are in none may stand anywhere.
        forbid: (cause, effect) pairs that are no edges. require: pairs that are.
    """

    tiers: Sequence[Sequence[str]] = ()
    forbid: Sequence[tuple[str, str]] = ()
    require: Sequence[tuple[str, str]] = ()

    def __bool__(self) -> bool:
        return bool(self.tiers or self.forbid or self.require)

    def belief(self, names: tuple[str, ...]) -> EdgePosterior:
        """As evidence about every pair.

        Raises:
            UnknownVariable: a name is no variable that is used.
            KnowledgeContradictory: an edge is both required and forbidden, or the required ones make a cycle.
        """
        ruled_out = {(cause, effect) for cause, effect in self.forbid}
        for k, later in enumerate(self.tiers):
            for earlier in self.tiers[:k]:
                ruled_out |= {(cause, effect) for cause in later for effect in earlier}
        named = [name for pair in (*ruled_out, *self.require) for name in pair]
        for name in (*named, *(name for tier in self.tiers for name in tier)):
            if name not in names:
                raise UnknownVariable(name=name, where="background knowledge", known=names)
        self._check(ruled_out)
        belief = EdgePosterior(names)
        for cause, effect in ruled_out:
            row, flipped = belief.pair(cause, effect)
            belief.evidence[row, [1 if flipped else 0, 3]] -= _SURE
        for cause, effect in self.require:
            row, flipped = belief.pair(cause, effect)
            belief.evidence[row, [0 if flipped else 1, 2, 3]] -= _SURE
        return belief

    def _check(self, ruled_out: set[tuple[str, str]]) -> None:
        for cause, effect in self.require:
            if (cause, effect) in ruled_out:
                raise KnowledgeContradictory(problem=f"{cause} -> {effect} is required and ruled out")
            if cause == effect:
                raise KnowledgeContradictory(problem=f"{cause} is required to cause itself")
        children: dict[str, list[str]] = {}
        for cause, effect in self.require:
            children.setdefault(cause, []).append(effect)
        for start in children:
            reached, waiting = set[str](), [start]
            while waiting:
                for child in children.get(waiting.pop(), ()):
                    if child == start:
                        raise KnowledgeContradictory(
                            problem=f"the required edges make a cycle through {start}"
                        )
                    if child not in reached:
                        reached.add(child)
                        waiting.append(child)
