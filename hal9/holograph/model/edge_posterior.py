"""The discrete belief: a posterior over {→, ←, none, confounded} for every pair, fed by answers and data.

Each pair has independent evidence (log-likelihoods of answers, and of data when given). The prior couples
pairs: an edge is likelier between variables that have shown edges (degree), likelier when two variables
share neighbours (closure), and a direction is less likely when the other way round is already believed as a
path (acyclicity).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.state import FloatArray
from hal9.holograph.questions import ANSWERS, Answer, Kind, Question

__all__ = ["EdgePosterior", "NoiseModel", "StructurePrior", "relation_of"]

_CEILING = 0.999
"""Answers of unknown accuracy are never taken as certain; a contradiction must stay recoverable."""
_HELD = 6.0
"""Checked answers that the assumed accuracy is worth."""
_KNOWN_CEILING = 1.0 - 1e-6
"""The same for answers whose accuracy is stated; it only keeps the logarithm finite."""


@dataclass(slots=True)
class NoiseModel:
    """How answers relate to the truth: a Beta belief over accuracy per kind, and the abstention rate.

    `right` and `wrong` are pseudo-counts. `observe` adds expected counts, so the accuracy is calibrated by
    answers that can be checked against other evidence, not by the confidence that the answerer claims.
    """

    right: dict[Kind, float]
    wrong: dict[Kind, float]
    abstain: float = 0.05
    fixed: bool = False

    @classmethod
    def assumed(cls, accuracy: float = 0.8, *, strength: float = 10.0, fixed: bool = False) -> "NoiseModel":
        """A model centred on an accuracy, worth `strength` checked answers; `fixed` when it is known."""
        kinds: tuple[Kind, ...] = ("direction", "mechanism", "confounder", "discriminator")
        return cls(
            dict.fromkeys(kinds, strength * accuracy),
            dict.fromkeys(kinds, strength * (1 - accuracy)),
            fixed=fixed,
        )

    def accuracy(self, kind: Kind) -> float:
        """Posterior mean accuracy of a kind of question, below one."""
        right, wrong = self.right[kind], self.wrong[kind]
        return min(_KNOWN_CEILING if self.fixed else _CEILING, max(0.05, right / (right + wrong)))

    def observe(self, kind: Kind, probability_right: float) -> None:
        """Count one answer as right with the given probability."""
        if not self.fixed:
            self.right[kind] += probability_right
            self.wrong[kind] += 1.0 - probability_right

    def table(self, kind: Kind) -> FloatArray:
        """P(verdict | relation), shape (4 relations, verdicts); rows sum to one.

        Abstention is a little likelier where there is nothing to know.
        """
        alpha = self.accuracy(kind)
        verdicts = ANSWERS[kind]
        table = np.zeros((4, len(verdicts)))
        if kind in ("direction", "discriminator"):
            order = (0, 1, 2, 3) if kind == "direction" else (1, 2, 3, 0)
            table[:, :4] = (1 - alpha) / 3
            for relation, column in enumerate(order):
                table[relation, column] = alpha
        elif kind == "mechanism":
            rest = (1 - alpha) / 2
            table[:2, :3] = (alpha, rest, rest)
            table[2, :3] = ((1 - alpha), alpha / 2, alpha / 2)
            table[3, :3] = ((1 - alpha), alpha / 2, alpha / 2)
        else:
            table[:3, :2] = (1 - alpha, alpha)
            table[3, :2] = (alpha, 1 - alpha)
        unknown = self.abstain * np.array([0.8, 0.8, 1.2, 1.0])
        table *= (1 - unknown)[:, None]
        table[:, -1] = unknown
        return table


@dataclass(frozen=True, slots=True)
class StructurePrior:
    """Strengths of the couplings between pairs.

    Attributes:
        expected_degree: edges per variable before anything is known.
        degree_strength: pseudo-count that holds a variable's edge rate at the global rate.
        closure: odds factor per shared neighbour. apart: per variable that neighbours only one of the two.
        confounded: prior share of confounded among all pairs.
        acyclic: how strongly a believed path the other way speaks against a direction, 0..1.
        connected: probability that a listed variable has an edge at all; the fewer of its pairs are left
            without an answer, the more each of them is expected to be that edge.
        affinity: log-odds of an edge per standard deviation of the descriptions' similarity.
    """

    expected_degree: float = 2.5
    degree_strength: float = 5.0
    closure: float = 1.6
    apart: float = 0.85
    confounded: float = 0.01
    acyclic: float = 0.99
    connected: float = 0.95
    affinity: float = 0.6


def relation_of(answer: Answer) -> int | None:
    """The relation that an answer states outright, or None."""
    return {
        "first_causes_second": 0,
        "second_causes_first": 1,
        "no_direct_effect": 2,
        "common_cause": 3,
        "hidden_common_cause": 3,
        "latent_cause": 3,
        "neither": 2,
        "mediated": 2,
        "no_effect": 2,
    }.get(answer.verdict)


@dataclass(slots=True)
class EdgePosterior:
    """Posterior over relations for all pairs.

    Attributes:
        names: variables.
        evidence: log-likelihoods from answers, shape (pairs, 4).
        data: log-likelihoods from a table, shape (pairs, 4).
        touched: weight of answers per pair, shape (pairs,).
        affinity: standardised similarity of the two descriptions, shape (pairs,).
        assumed: accuracy of answers before any is checked.
    """

    names: tuple[str, ...]
    prior: StructurePrior = field(default_factory=StructurePrior)
    evidence: FloatArray = field(init=False)
    data: FloatArray = field(init=False)
    touched: FloatArray = field(init=False)
    affinity: FloatArray = field(init=False)
    first: NDArray[np.intp] = field(init=False)
    second: NDArray[np.intp] = field(init=False)
    assumed: float = 0.8
    _heard: list[tuple[Question, Answer, float]] = field(default_factory=list)
    _changes: list[tuple[int, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first, self.second = np.triu_indices(len(self.names), 1)
        self.evidence = np.zeros((self.first.size, 4))
        self.data = np.zeros((self.first.size, 4))
        self.touched = np.zeros(self.first.size)
        self.affinity = np.zeros(self.first.size)

    def pair(self, first: str, second: str) -> tuple[int, bool]:
        """Row of a pair, and whether it is stored the other way round."""
        a, b = self.names.index(first), self.names.index(second)
        flipped = a > b
        if flipped:
            a, b = b, a
        size = len(self.names)
        return a * size - a * (a + 1) // 2 + b - a - 1, flipped

    def add(self, question: Question, answer: Answer, noise: NoiseModel, *, weight: float = 1.0) -> None:
        """Take an answer in; every verdict, abstention too, moves the posterior."""
        row, flipped = self.pair(question.first, question.second)
        table = noise.table(question.kind)
        update = weight * np.log(table[:, ANSWERS[question.kind].index(answer.verdict)])
        self._change(row, update[[1, 0, 2, 3]] if flipped else update)
        self._heard.append((question, answer, weight))
        self.touched[row] += weight
        if answer.kind == "mechanism" and answer.verdict == "mediated":
            self._add_mediators(question, answer, noise, weight)
        if answer.kind == "confounder" and answer.verdict == "hidden_common_cause":
            self._add_common_causes(question, answer, noise, weight)

    def _nudge(self, cause: str, effect: str, strength: float) -> None:
        if cause == effect:
            return
        row, flipped = self.pair(cause, effect)
        change = np.zeros(4)
        change[1 if flipped else 0] = strength
        self._change(row, change)

    def _change(self, row: int, change: FloatArray) -> None:
        self.evidence[row] += change
        self._changes.append((row, change))

    def _add_mediators(self, question: Question, answer: Answer, noise: NoiseModel, weight: float) -> None:
        """A named mediator is half as telling as an answer about its two links."""
        strength = (
            0.5 * weight * float(np.log(3 * noise.accuracy("mechanism") / (1 - noise.accuracy("mechanism"))))
        )
        for name in answer.names:
            if name in self.names and name not in (question.first, question.second):
                row, flipped = self.pair(question.first, question.second)
                forward = self.evidence[row, 1 if flipped else 0] >= self.evidence[row, 0 if flipped else 1]
                cause, effect = (
                    (question.first, question.second) if forward else (question.second, question.first)
                )
                self._nudge(cause, name, strength)
                self._nudge(name, effect, strength)

    def _add_common_causes(
        self, question: Question, answer: Answer, noise: NoiseModel, weight: float
    ) -> None:
        """A "hidden" common cause that is on the list says that it causes both."""
        strength = (
            0.5
            * weight
            * float(np.log(3 * noise.accuracy("confounder") / (1 - noise.accuracy("confounder"))))
        )
        for name in answer.names:
            if name in self.names:
                self._nudge(name, question.first, strength)
                self._nudge(name, question.second, strength)

    def forget(self, first: str, second: str) -> None:
        """Drop the evidence about a pair (surgery replaces it)."""
        row, _ = self.pair(first, second)
        self.evidence[row] = 0.0
        self._changes = [(other, change) for other, change in self._changes if other != row]
        self._heard = [
            (question, answer, weight)
            for question, answer, weight in self._heard
            if {question.first, question.second} != {first, second}
        ]

    def posterior(self) -> FloatArray:
        """P(relation) of every pair, shape (pairs, 4)."""
        informed = self.evidence + self.data
        peak = informed.max(axis=1, keepdims=True)
        base = self._base_rate()
        flat = np.log([base / 2, base / 2, 1 - base - self.prior.confounded, self.prior.confounded])
        alone = _softmax(informed - peak + flat)
        known = 1.0 - np.exp(-np.abs(informed - informed.mean(axis=1, keepdims=True)).sum(axis=1) / 2)
        log_prior = self._log_prior(alone, known, base)
        return _softmax(informed - peak + log_prior)

    def confounding_log_odds(self) -> float:
        """Log-odds of a hidden common cause over a cause in one direction, before the pair's own answers."""
        return float(np.log(self._confounded_rate() / (0.5 * self._base_rate())))

    def _confounded_rate(self) -> float:
        """How common confounding is: the prior's share, moved by what the answers say about the pairs asked.

        A table does not enter: it shows that two variables depend on each other, not that nothing listed is
        the reason.
        """
        base = self._base_rate()
        flat = np.log([base / 2, base / 2, 1 - base - self.prior.confounded, self.prior.confounded])
        asked = self.touched.clip(0.0, 1.0)
        seen = float(asked @ _softmax(self.evidence + flat)[:, 3])
        rate = (seen + 8.0 * self.prior.confounded) / (float(asked.sum()) + 8.0)
        # Direct causes stay the likelier explanation of a pair about which nothing else is known.
        return float(min(0.25 * base, rate))

    def _base_rate(self) -> float:
        return float(min(0.45, self.prior.expected_degree / max(1, len(self.names) - 1)))

    def _log_prior(self, alone: FloatArray, known: FloatArray, base: float) -> FloatArray:
        size = len(self.names)
        adjacent, seen = np.zeros((size, size)), np.zeros((size, size))
        edge = alone[:, 0] + alone[:, 1]
        for matrix, values in ((adjacent, known * edge), (seen, known)):
            matrix[self.first, self.second] = values
            matrix[self.second, self.first] = values
        total_seen, total_edges = seen.sum(), adjacent.sum()
        # The global rate starts at the expected degree and moves with what has been seen.
        rate = (total_edges + 8.0 * base) / (total_seen + 8.0)
        strength = self.prior.degree_strength
        # A pair's own evidence must not count towards its prior.
        own_edge, own_seen = adjacent[self.first, self.second], seen[self.first, self.second]
        odds = rate / (1 - rate) * np.exp(self.prior.affinity * self.affinity)
        degree, looked = adjacent.sum(axis=1), seen.sum(axis=1)
        for side in (self.first, self.second):
            local = (degree[side] - own_edge + strength * rate) / (looked[side] - own_seen + strength)
            odds *= np.clip(local, 0.01, 0.95) / rate
        both = adjacent @ adjacent
        one = adjacent @ (seen - adjacent)
        one = one + one.T
        odds *= self.prior.closure ** np.minimum(both[self.first, self.second], 3.0)
        odds *= self.prior.apart ** np.minimum(one[self.first, self.second], 4.0)
        probability = np.clip(odds / (1 + odds), 0.005, 0.9)
        probability = np.maximum(probability, self._isolation(adjacent, seen))
        reach = self._reach(alone, known)
        forward = 1 - self.prior.acyclic * reach[self.second, self.first]
        backward = 1 - self.prior.acyclic * reach[self.first, self.second]
        share = forward / (forward + backward)
        confounded = np.full(self.first.size, self._confounded_rate())
        prior = np.stack(
            [probability * share, probability * (1 - share), 1 - probability - confounded, confounded], axis=1
        )
        return np.asarray(np.log(np.clip(prior, 1e-6, None)))

    def _isolation(self, adjacent: FloatArray, seen: FloatArray) -> FloatArray:
        """Per pair, the least probability of an edge that keeps both its ends from being isolated."""
        size = len(self.names)
        open_pairs = np.maximum(size - 1 - seen.sum(axis=1), 1.0)
        alone = np.prod(1.0 - np.minimum(adjacent, 1.0), axis=1)
        floor = alone * (1.0 - (1.0 - self.prior.connected) ** (1.0 / open_pairs))
        return np.asarray(np.maximum(floor[self.first], floor[self.second]), dtype=np.float64)

    def _reach(self, alone: FloatArray, known: FloatArray) -> FloatArray:
        """Score in 0..1 that a directed path leads from row to column, by repeated squaring."""
        size = len(self.names)
        step = np.zeros((size, size))
        step[self.first, self.second] = known * alone[:, 0]
        step[self.second, self.first] = known * alone[:, 1]
        reach = step
        for _ in range(int(np.ceil(np.log2(max(2, size))))):
            reach = np.maximum(reach, np.minimum(1.0, reach @ reach))
        return np.minimum(reach, 1.0)

    def calibrate(self, noise: NoiseModel, *, rounds: int = 6) -> None:
        """Re-estimate accuracies, and read every answer again by what was learned (expectation maximisation).

        An answer counts as right as far as everything together says so: other answers about the pair, the
        table, and how many edges there are at all. So an answerer that sees edges everywhere, contradicts
        itself, or contradicts the table is believed less, and so is all that it said before.

        Args:
            noise: what is believed of the answerer; changed.
            rounds: of expectation and maximisation.
        """
        if noise.fixed:
            return
        fresh = NoiseModel.assumed(self.assumed, strength=_HELD)
        for _ in range(rounds):
            posterior = self.posterior()
            right, wrong = dict(fresh.right), dict(fresh.wrong)
            for question, answer, _ in self._heard:
                if answer.verdict == "unknown":
                    continue
                row, flipped = self.pair(question.first, question.second)
                column = noise.table(question.kind)[:, ANSWERS[question.kind].index(answer.verdict)]
                column = column[[1, 0, 2, 3]] if flipped else column
                agreement = float(posterior[row, column >= column.max() - 1e-12].sum())
                right[question.kind] += agreement
                wrong[question.kind] += 1.0 - agreement
            noise.right.update(right)
            noise.wrong.update(wrong)
            self._read_again(noise)

    def _read_again(self, noise: NoiseModel) -> None:
        """Take back what the answers did to the evidence, and let them do it under another noise model."""
        for row, change in self._changes:
            self.evidence[row] -= change
        heard, self._heard, self._changes = self._heard, [], []
        for question, answer, weight in heard:
            row, _ = self.pair(question.first, question.second)
            self.touched[row] -= weight
            self.add(question, answer, noise, weight=weight)


def _softmax(logits: FloatArray) -> FloatArray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
