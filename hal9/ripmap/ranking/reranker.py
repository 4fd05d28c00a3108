"""An optional second look at the best files, by an embedding model or by a language model.

Ranking itself needs neither. The protocols are small on purpose: any object with `embed`, any awaitable that
answers a prompt.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hal9.errors.ripmap import RerankerMissing, RerankFailed
from hal9.ripmap.ranking.ranker import Ranking

__all__ = [
    "WEIGHT",
    "Ask",
    "Embeds",
    "Reranker",
    "mind_prompt",
    "open_reranker",
    "rerank_by_embedding",
    "rerank_by_mind",
    "summary",
]

Ask = Callable[[str], Awaitable[str]]
"""Gets a prompt, answers with text."""

Reranker = Callable[[Ranking], list[str]]
"""All paths of a ranking in a new order."""

WEIGHT = 0.2
"""What an opinion counts beside the ranking's own scores, both at most 1; docs/ripmap-ranking.md has why."""
_GROUP = "ripmap.rerankers"
_ANY = "mind"
_TOP = 20
_NAMES = 12
_TASK_CHARACTERS = 4000
_NUMBER = re.compile(r"\d+")


class Embeds(Protocol):
    """Turns texts into unit vectors."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape (len(texts), dimension)."""
        ...


def open_reranker(spec: str, weight: float | None = None) -> Reranker:
    """What an installed package offers under this name.

    Rerankers are entry points of the group ``ripmap.rerankers``: functions that take the whole spec
    (``NAME`` or ``NAME:DETAIL``) and a weight against the ranking's own order (None: `WEIGHT`), and
    return a `Reranker`. A name that none bears goes to the one called ``mind``.

    Raises:
        RerankerMissing: there is neither.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - looked up only when asked for

    offered = {entry.name: entry for entry in entry_points(group=_GROUP)}
    chosen = offered.get(spec.partition(":")[0]) or offered.get(_ANY)
    if chosen is None:
        raise RerankerMissing(name=spec, known=tuple(sorted(offered)))
    found: Reranker = chosen.load()(spec, WEIGHT if weight is None else weight)
    return found


def summary(ranking: Ranking, path: str) -> str:
    """A file in one line: its path and the names in it that suit the task best."""
    names = ", ".join(symbol.name for symbol in ranking.symbols(_NAMES, paths=[path]))
    return f"{path}: {names}" if names else path


def _blended(ranking: Ranking, opinion: NDArray[np.float64], weight: float) -> list[str]:
    """All files, the first ones by score plus `weight` times the opinion of each, both at most 1."""
    paths, top = ranking.paths, len(opinion)
    scores = ranking.scores[ranking.order[:top]]
    total = scores / max(float(scores.max()), 1e-12) + weight * opinion
    return [paths[rank] for rank in np.argsort(-total, kind="stable")] + paths[top:]


def rerank_by_embedding(
    ranking: Ranking, embedder: Embeds, *, top: int = _TOP, weight: float = WEIGHT
) -> list[str]:
    """All files, the first `top` reordered with their likeness to the task in mind, scaled to at most 1."""
    head = ranking.paths[:top]
    if len(head) < 2:
        return ranking.paths
    vectors = embedder.embed(
        [ranking.prepared.query.text[:_TASK_CHARACTERS], *(summary(ranking, path) for path in head)]
    )
    likeness = np.maximum(0.0, vectors[1:] @ vectors[0]).astype(np.float64)
    return _blended(ranking, likeness / max(float(likeness.max()), 1e-12), weight)


def mind_prompt(ranking: Ranking, *, top: int = _TOP) -> str:
    """The question put to a language model."""
    lines = [
        f"{number}. {summary(ranking, path)}" for number, path in enumerate(ranking.paths[:top], start=1)
    ]
    return (
        "A task for a software repository:\n\n"
        f"{ranking.prepared.query.text[:_TASK_CHARACTERS]}\n\n"
        "Files, with the names they define:\n" + "\n".join(lines) + "\n\n"
        "Which of these files must be changed? Answer with their numbers alone, most likely first, "
        "separated by commas."
    )


async def rerank_by_mind(ranking: Ranking, ask: Ask, *, top: int = _TOP, weight: float = WEIGHT) -> list[str]:
    """All files, the first `top` reordered with a language model's choice in mind.

    The file that it names first counts 1, the n-th 1/n: a model that names nearly all says little of any.

    Raises:
        RerankFailed: the answer names none of the files.
    """
    answer = await ask(mind_prompt(ranking, top=top))
    shown = min(top, len(ranking.paths))
    numbers = [int(found) for found in _NUMBER.findall(answer)]
    chosen = list(dict.fromkeys(number for number in numbers if 1 <= number <= shown))
    if not chosen:
        raise RerankFailed(answer=answer[:200], files=shown)
    opinion = np.zeros(shown)
    opinion[np.array(chosen) - 1] = 1.0 / np.arange(1, len(chosen) + 1)
    return _blended(ranking, opinion, weight)
