"""The protocol of answerers, and a scripted one that knows the truth and errs as often as told."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hal9.holograph.model.graph import MixedGraph
from hal9.holograph.questions import ANSWERS, Answer, Question

__all__ = ["Answerer", "Asked", "Nobody", "ScriptedOracle"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question.

    Attributes:
        answer: None when the reply could not be used.
        status: "issued" (a call was made), "cached" (replayed without a call) or "failed" (unusable reply).
    """

    answer: Answer | None
    status: str
    prompt: str
    reply: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0


class Answerer(Protocol):
    """Answers questions about pairs."""

    @property
    def name(self) -> str:
        """Who answers, for the record."""
        ...

    async def ask(self, question: Question) -> Asked:
        """Answer one question.

        Raises:
            MindError: the mind cannot be reached or refuses.
        """
        ...


@dataclass(frozen=True, slots=True)
class Nobody:
    """Answers nothing: for discovery from a table alone."""

    name: str = "nobody"

    async def ask(self, question: Question) -> Asked:
        """No answer, and no call."""
        return Asked(None, "failed", str(question.key), "nobody is asked")


@dataclass(frozen=True, slots=True)
class ScriptedOracle:
    """Knows the true graph; answers rightly with a stated accuracy, else uniformly wrong.

    The same seed and question always give the same answer, so a resumed experiment continues as it began.

    Attributes:
        truth: the graph. A latent of `truth.latents` is a hidden common cause of its children.
        accuracy: probability of a right answer among those given. abstention: probability of "unknown".
        local: per context, what is claimed there about a pair (relation 0..3) in place of the truth; it
            models contexts that see a projection artefact.
    """

    truth: MixedGraph
    accuracy: float = 1.0
    abstention: float = 0.0
    seed: int = 0
    local: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Stated accuracy and seed."""
        return f"scripted:accuracy={self.accuracy:g},abstention={self.abstention:g},seed={self.seed}"

    def relation(self, question: Question) -> int:
        """The true relation of the question's pair, as the context claims it."""
        pair = (question.first, question.second)
        claims = self.local.get(question.context, {})
        if pair in claims:
            return claims[pair]
        if pair[::-1] in claims:
            return (1, 0, 2, 3)[claims[pair[::-1]]]
        return self._true_relation(*pair)

    def _true_relation(self, first: str, second: str) -> int:
        if (first, second) in self.truth.directed:
            return 0
        if (second, first) in self.truth.directed:
            return 1
        return 3 if frozenset((first, second)) in self.truth.bidirected else 2

    def _mediator(self, first: str, second: str) -> tuple[str, ...]:
        for cause, effect in ((first, second), (second, first)):
            for middle in self.truth.names:
                if (cause, middle) in self.truth.directed and (middle, effect) in self.truth.directed:
                    return (middle,)
        return ()

    def _latent(self, first: str, second: str) -> tuple[str, ...]:
        for name, children in self.truth.latents.items():
            if first in children and second in children:
                return (name,)
        return ()

    def _truthful(self, question: Question) -> Answer:
        first, second = question.first, question.second
        relation = self.relation(question)
        if question.kind == "direction":
            return Answer("direction", ANSWERS["direction"][relation], confidence=0.9)
        if question.kind == "mechanism":
            if relation < 2:
                return Answer("mechanism", "direct", confidence=0.9)
            middle = self._mediator(first, second)
            return Answer("mechanism", "mediated" if middle else "no_effect", names=middle, confidence=0.9)
        hidden = self._true_relation(first, second) == 3
        if question.kind == "confounder":
            verdict = "hidden_common_cause" if hidden else "no_hidden_common_cause"
            return Answer(
                "confounder", verdict, names=self._latent(first, second) if hidden else (), confidence=0.9
            )
        if hidden:
            return Answer("discriminator", "latent_cause", names=self._latent(first, second), confidence=0.9)
        verdicts = ("first_causes_second", "second_causes_first", "neither")
        return Answer("discriminator", verdicts[self._true_relation(first, second)], confidence=0.9)

    async def ask(self, question: Question) -> Asked:
        """Answer from the script."""
        rng = np.random.default_rng([self.seed, zlib.crc32(question.key.encode())])
        answer = self._truthful(question)
        if rng.random() < self.abstention:
            answer = Answer(question.kind, "unknown", confidence=0.3)
        elif rng.random() >= self.accuracy:
            wrong = [v for v in ANSWERS[question.kind][:-1] if v != answer.verdict]
            verdict = wrong[int(rng.integers(len(wrong)))]
            invented = ("an unnamed factor",) if verdict in ("hidden_common_cause", "latent_cause") else ()
            answer = Answer(question.kind, verdict, names=invented, confidence=0.9)
        return Asked(answer, "issued", question.key, answer.verdict)
