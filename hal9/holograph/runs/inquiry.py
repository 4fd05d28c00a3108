"""The state of a discovery between questions: what is believed, what to ask next, what to do with an answer.

It is deterministic: the same problem, settings and answers give the same next question, so a run is resumed
by giving it its recorded answers again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.dag_search import best_graph, best_of_scores
from hal9.holograph.data.dependence import taken_differently
from hal9.holograph.data.edge_probabilities import EdgeLeads, edge_leads
from hal9.holograph.data.mixed_graph_search import fit_mixed
from hal9.holograph.data.pair_evidence import data_evidence
from hal9.holograph.data.table import Table
from hal9.holograph.model.edge_posterior import EdgePosterior, NoiseModel, StructurePrior, relation_of
from hal9.holograph.model.embedding import HashedEmbedder, affinity, statement_gram
from hal9.holograph.model.graph import MixedGraph, graph_from_belief
from hal9.holograph.model.state import FloatArray, State, initial_state
from hal9.holograph.optimisation.losses import Claims
from hal9.holograph.optimisation.objective import WHOLE, Objective, Weights
from hal9.holograph.optimisation.optimise import Method, Optimiser, StepReport
from hal9.holograph.queries.planner import Choice, Planner
from hal9.holograph.questions import Answer, Question
from hal9.holograph.sheaf.obstruction import pair_residuals
from hal9.holograph.sheaf.sections import Cover, descent
from hal9.holograph.spec import Problem
from hal9.memory.embedding.protocol import Embedder

__all__ = ["DiscoveryState", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a discovery is run.

    Attributes:
        budget_queries: most questions, discriminators and checks included.
        accuracy: assumed accuracy of answers. known_accuracy: whether it is known and must not be
        re-estimated. abstain: assumed share of "unknown".
        fit_every: answers between fits of the continuous belief; 0 fits only at the end.
        fit_steps: optimiser steps per fit. method: the optimiser.
        resolve: whether obstructions are resolved. threshold: P(edge) at which an edge is drawn.
        seed: of the initial jitter.
    """

    budget_queries: int = 100
    accuracy: float = 0.8
    known_accuracy: bool = False
    abstain: float = 0.05
    fit_every: int = 5
    fit_steps: int = 3
    method: Method = "natural"
    resolve: bool = True
    threshold: float = 0.5
    seed: int = 0


@dataclass(slots=True)
class _Claim:
    """One answer as the semantic energy sees it, by name so that it survives a change of variables."""

    context: str
    first: str
    second: str
    relation: int
    sign: float
    weight: float


@dataclass(slots=True)
class DiscoveryState:
    """Belief, planner, sections and record of one discovery."""

    problem: Problem
    settings: Settings = field(default_factory=Settings)
    table: Table | None = None
    embedder: Embedder = field(default_factory=HashedEmbedder)
    prior: StructurePrior = field(default_factory=StructurePrior)
    weights: Weights = field(default_factory=Weights)
    belief: EdgePosterior = field(init=False)
    noise: NoiseModel = field(init=False)
    planner: Planner = field(init=False)
    sections: dict[str, State] = field(init=False)
    optimiser: Optimiser = field(init=False)
    answered: list[tuple[Question, Answer]] = field(default_factory=list)
    latents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    claims: list[_Claim] = field(default_factory=list)
    leads: EdgeLeads | None = None
    notes: list[str] = field(default_factory=list)
    _from_data: NDArray[np.bool_] | None = None
    _grams: dict[tuple[str, str], FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names, members = self.problem.names, self.problem.members()
        self.belief = EdgePosterior(names, self.prior)
        self.belief.assumed = self.settings.accuracy
        self.belief.affinity = affinity(self.embedder, self.problem.texts())
        if self.table is not None:
            found = best_of_scores(self.table)
            self.notes = taken_differently(self.table, found[0].table)
            self.table = found[0].table
            self.belief.data = data_evidence(self.table, found)
            self._from_data = found[1].adjacency
            self.leads = edge_leads(self.table, *found)
        self.noise = NoiseModel.assumed(self.settings.accuracy, fixed=self.settings.known_accuracy)
        self.noise.abstain = self.settings.abstain
        self.planner = Planner(names, members)
        rng = np.random.default_rng(self.settings.seed)
        self.sections = {WHOLE: initial_state(names, rng=rng, scale=0.01)}
        for context, inside in members.items():
            self.sections[context] = initial_state(inside, rng=rng, scale=0.01)
        self.optimiser = Optimiser(self.settings.method)

    @property
    def cover(self) -> Cover:
        """The contexts."""
        return Cover(self.problem.members())

    def choose(self) -> Choice | None:
        """The next question by expected free energy; None when no question is worth its cost."""
        residual = None
        if len(self.problem.contexts) > 1:
            local = {name: s for name, s in self.sections.items() if name != WHOLE}
            residual = pair_residuals(descent(local, self.cover.overlaps()), self.problem.names)
        choice = self.planner.choose(self.belief, self.noise, residual)
        return choice if choice is not None and choice.energy < 0 else None

    def spend(self, question: Question) -> None:
        """Remember a question that got no usable answer, so that it is not asked again."""
        row, _ = self.belief.pair(question.first, question.second)
        self.planner.mark(question, row)

    def take(self, question: Question, answer: Answer) -> None:
        """Let an answer change the belief."""
        row, _ = self.belief.pair(question.first, question.second)
        # The same answerer asked again about the same pair is not a second witness.
        seen = sum({q.first, q.second} == {question.first, question.second} for q, _ in self.answered)
        weight = 1.0 if question.kind == "discriminator" else 1.0 / (1.0 + 0.5 * seen)
        self.belief.add(question, answer, self.noise, weight=weight)
        self.planner.mark(question, row)
        self.answered.append((question, answer))
        self._claim(question, answer)
        # Often at first, when an answerer becomes known; later a few answers change little.
        if (
            not self.settings.known_accuracy
            and len(self.answered) % (10 if len(self.answered) < 100 else 50) == 0
        ):
            self.belief.calibrate(self.noise)

    def _claim(self, question: Question, answer: Answer) -> None:
        relation = relation_of(answer)
        if answer.verdict == "direct":
            row, flipped = self.belief.pair(question.first, question.second)
            posterior = self.belief.posterior()[row]
            relation = int(posterior[1] > posterior[0]) ^ int(flipped)
        if relation is None:
            return
        accuracy = self.noise.accuracy(question.kind)
        weight = float(np.clip(np.log(3 * accuracy / (1 - accuracy)) / np.log(12.0), 0.05, 3.0))
        sign = -1.0 if answer.effect == "lowers" else 1.0
        context = question.context if question.context in self.sections else WHOLE
        self.claims.append(_Claim(context, question.first, question.second, relation, sign, weight))

    def drop_claims(self, first: str, second: str) -> None:
        """Take back what was claimed about a pair; the answers stay on record."""
        self.claims = [c for c in self.claims if {c.first, c.second} != {first, second}]

    def add_claim(self, context: str, cause: str, effect: str, *, weight: float = 1.0) -> None:
        """Claim outright that one variable (a latent, perhaps) causes another in a context."""
        self.claims.append(_Claim(context, cause, effect, 0, 1.0, weight))

    def objective(self, sections: Mapping[str, State] | None = None) -> Objective:
        """The loss for the present claims over the given (default: the present) sections."""
        chosen = self.sections if sections is None else sections
        grouped: dict[str, Claims] = {}
        for name, section in chosen.items():
            mine = [c for c in self.claims if c.context == name and {c.first, c.second} <= set(section.names)]
            if not mine:
                continue
            grouped[name] = Claims(
                section.indices([c.first for c in mine]),
                section.indices([c.second for c in mine]),
                np.array([c.relation for c in mine], dtype=np.intp),
                np.array([c.sign for c in mine]),
                np.array([c.weight for c in mine]),
                np.stack([self._gram(c.first, c.second) for c in mine]),
            )
        sample = None
        if self.table is not None and chosen[WHOLE].names == self.table.names:
            sample = self.table.covariance()
        return Objective(grouped, self.cover.overlaps(), self.weights, sample=sample)

    def _gram(self, first: str, second: str) -> FloatArray:
        key = (first, second)
        if key not in self._grams:
            self._grams[key] = statement_gram(self.embedder, first, second)
        return self._grams[key]

    def fit(self, steps: int | None = None) -> list[StepReport]:
        """Move the continuous belief towards the answers, the data and its own consistency."""
        count = self.settings.fit_steps if steps is None else steps
        self.sections, reports = self.optimiser.minimise(self.sections, self.objective(), steps=count)
        return reports

    def descent_value(self, sections: Mapping[str, State] | None = None) -> float:
        """How far the contexts disagree."""
        chosen = self.sections if sections is None else sections
        local = {name: s for name, s in chosen.items() if name != WHOLE}
        return descent(local, self.cover.overlaps()).value if len(local) > 1 else 0.0

    def graph(self) -> MixedGraph:
        """The acyclic graph that is believed now."""
        if self.table is not None:
            found = best_graph(self.table, self.belief, start=self._from_data)
            return MixedGraph(
                found.names, found.directed, found.bidirected, dict(self.latents), found.support
            )
        return graph_from_belief(self.belief, threshold=self.settings.threshold, latents=self.latents)

    def refit(self, graph: MixedGraph | None = None) -> State:
        """Weights of the final graph: fitted again on the graph's edges alone.

        With a table they are those of its greatest likelihood; else every edge is a claim with the sign that
        the answers gave.

        Args:
            graph: the final graph, when it is known already.

        Returns:
            A state over the observed variables in which every other entry of W, and every covariance that
            is not a bidirected edge, is zero.
        """
        graph, names = self.graph() if graph is None else graph, self.problem.names
        size = len(names)
        both = np.zeros((size, size), dtype=bool)
        for pair in graph.bidirected:
            a, b = sorted(names.index(name) for name in pair)
            both[a, b] = both[b, a] = True
        if self.table is not None:
            weights, noise = fit_mixed(self.table.covariance(), graph.adjacency(), both)
            return _as_state(names, weights, noise)
        masks = (graph.adjacency().T, np.tril(both) | np.eye(size, dtype=bool))
        optimiser = Optimiser("natural", masks={WHOLE: masks})
        start = {WHOLE: initial_state(names)}
        fitted = optimiser.minimise(start, self._refit_objective(graph), steps=30, tolerance=1e-6)[0][WHOLE]
        # Two bidirected edges at one variable give L Lᵀ a covariance that is no edge.
        return _as_state(names, fitted.weights, fitted.noise * (both | np.eye(size, dtype=bool)))

    def _refit_objective(self, graph: MixedGraph) -> Objective:
        """A claim per edge."""
        names = self.problem.names
        edges = [(c, e, 0) for c, e in sorted(graph.directed)]
        edges += [(*sorted(pair), 3) for pair in sorted(graph.bidirected, key=sorted)]  # type: ignore[misc]
        if not edges:
            return Objective({}, (), self.weights)
        claims = Claims(
            np.array([names.index(a) for a, _, _ in edges], dtype=np.intp),
            np.array([names.index(b) for _, b, _ in edges], dtype=np.intp),
            np.array([relation for _, _, relation in edges], dtype=np.intp),
            np.array([self._sign(a, b) for a, b, _ in edges]),
            np.ones(len(edges)),
            np.stack([self._gram(a, b) for a, b, _ in edges]),
        )
        return Objective({WHOLE: claims}, (), self.weights)

    def _sign(self, first: str, second: str) -> float:
        total = sum(c.sign * c.weight for c in self.claims if {c.first, c.second} == {first, second})
        return -1.0 if total < 0 else 1.0


def _as_state(names: tuple[str, ...], weights: FloatArray, noise: FloatArray) -> State:
    """A state with M as given; covariances are shrunk as far as M needs to be positive definite."""
    own = np.diag(np.diag(noise))
    for share in (1.0, 0.9, 0.75, 0.5, 0.25, 0.0):
        try:
            factor = np.linalg.cholesky(own + share * (noise - own))
        except np.linalg.LinAlgError:
            continue
        break
    return State(names, weights, np.asarray(factor, dtype=np.float64))
