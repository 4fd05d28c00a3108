"""The active loop: choose, ask, believe, fit, resolve obstructions, and read the graph off, resumably."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hal9.clock import Clock, SystemClock
from hal9.errors.holograph import RunDiffers, RunNotFound
from hal9.holograph.data.edge_probabilities import DECIDED, probabilities
from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray, project
from hal9.holograph.optimisation.objective import WHOLE
from hal9.holograph.queries.answerers import Answerer, Asked
from hal9.holograph.queries.planner import Choice
from hal9.holograph.questions import RELATIONS, Answer, Question
from hal9.holograph.runs.inquiry import DiscoveryState, Settings
from hal9.holograph.runs.resolution import Resolution, Resolver
from hal9.holograph.runs.store import RunStore
from hal9.holograph.sheaf.sections import gluing_measures
from hal9.holograph.spec import Problem

__all__ = ["Discovery", "Run", "Watch", "discover", "inputs_of", "result_of"]

Watch = Callable[[int, Question, Answer | None, bool], None]
"""Told of every query: its number, the question, its usable answer, and whether it came from the record."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where a discovery is written down.

    Attributes:
        store: open store. name: of the run; it is resumed when it exists.
    """

    store: RunStore
    name: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """A finished discovery."""

    inquiry: DiscoveryState
    resolutions: tuple[Resolution, ...]
    asked: int

    def result(self) -> dict[str, Any]:
        """What is stored and shown, as plain data."""
        return result_of(self)


def inputs_of(
    problem: Problem, settings: Settings, table: Table | None, embedder: str = ""
) -> dict[str, Any]:
    """What a run must have in common with its resumption, as plain data."""
    data = None
    if table is not None:
        digest = hashlib.sha256(table.values.tobytes() + table.targets.tobytes()).hexdigest()
        data = {"rows": table.rows, "sha256": digest}
    return {
        "problem": {
            "domain": problem.domain,
            "variables": [v.model_dump() for v in problem.variables],
            "contexts": [{**c.model_dump(), "variables": list(c.variables)} for c in problem.contexts],
        },
        "settings": asdict(settings),
        "data": data,
        "embedder": embedder,
    }


class _Loop:
    """One pass over a discovery; recorded answers are replayed without being counted again."""

    def __init__(
        self,
        inquiry: DiscoveryState,
        answerer: Answerer,
        run: Run | None,
        clock: Clock,
        watch: Watch | None = None,
    ) -> None:
        self.inquiry = inquiry
        self.answerer = answerer
        self.run = run
        self.clock = clock
        self.watch = watch
        self.asked = 0
        self.mark = clock.monotonic()
        self.resolver = Resolver(inquiry)

    async def ask(self, question: Question) -> Answer | None:
        """Serve a question from the record or from the answerer; None when unanswered or out of budget."""
        if self.asked >= self.inquiry.settings.budget_queries:
            return None
        self.asked += 1
        if self.run is not None:
            known, answer = self.run.store.recall(self.run.name, question)
            if known:
                # Replaying costs time of its own, which the first time round was already counted.
                self.mark = self.clock.monotonic()
                self._tell(question, answer, recorded=True)
                return answer
        started = self.clock.monotonic()
        asked = await self.answerer.ask(question)
        self._record(question, asked, started)
        self._tell(question, asked.answer, recorded=False)
        return asked.answer

    def _tell(self, question: Question, answer: Answer | None, *, recorded: bool) -> None:
        if self.watch is not None:
            self.watch(self.asked, question, answer, recorded)

    def _record(self, question: Question, asked: Asked, started: float) -> None:
        now = self.clock.monotonic()
        if self.run is not None:
            timed = asked if asked.seconds else _with_seconds(asked, now - started)
            self.run.store.record(
                self.run.name, question, timed, now=self.clock.now(), elapsed=now - self.mark
            )
        self.mark = now

    def since_mark(self) -> float:
        """Seconds worked that no recorded query accounts for yet."""
        return self.clock.monotonic() - self.mark

    async def turn(self, choice: Choice) -> None:
        """Ask one planned question and let the answer change the belief."""
        inquiry, question = self.inquiry, choice.question
        row, _ = inquiry.belief.pair(question.first, question.second)
        before = inquiry.belief.posterior()[row]
        answer = await self.ask(question)
        if answer is None:
            inquiry.spend(question)
        else:
            inquiry.take(question, answer)
        if self.run is not None:
            after = inquiry.belief.posterior()[row]
            parts = {"epistemic": choice.epistemic, "pragmatic": choice.pragmatic, "cost": choice.cost}
            note = {
                "before": _shown(before),
                "after": _shown(after),
                "efe": {k: round(v, 4) for k, v in parts.items()},
            }
            self.run.store.note_belief(self.run.name, question.key, note)

    async def work(self) -> None:
        """Until nothing is worth asking or the budget is used up."""
        settings = self.inquiry.settings
        while self.asked < settings.budget_queries:
            choice = self.inquiry.choose()
            if choice is None:
                break
            await self.turn(choice)
            if settings.fit_every and self.asked % settings.fit_every == 0:
                self.inquiry.fit()
                await self._watch(final=False)
        self.inquiry.fit(max(10, settings.fit_steps))
        while await self._watch(final=True):
            pass
        self.inquiry.fit(max(10, settings.fit_steps))

    async def _watch(self, *, final: bool) -> bool:
        if not self.inquiry.settings.resolve:
            return False
        conflict = self.resolver.pending(final=final)
        if conflict is None:
            return False
        await self.resolver.resolve(conflict, self.ask)
        return True


def _with_seconds(asked: Asked, seconds: float) -> Asked:
    return Asked(
        asked.answer,
        asked.status,
        asked.prompt,
        asked.reply,
        asked.prompt_tokens,
        asked.completion_tokens,
        asked.usd,
        seconds,
    )


def _shown(posterior: FloatArray) -> dict[str, float]:
    return {relation: round(float(p), 4) for relation, p in zip(RELATIONS, posterior, strict=True)}


async def discover(
    inquiry: DiscoveryState,
    answerer: Answerer,
    *,
    run: Run | None = None,
    clock: Clock | None = None,
    watch: Watch | None = None,
) -> Discovery:
    """Find the causal structure of an inquiry's problem.

    Args:
        inquiry: fresh state.
        answerer: who is asked.
        run: where it is written down, and what it resumes from; None keeps nothing.
        clock: of times and durations.
        watch: told of every query.

    Raises:
        MindError: the answerer failed; a written run is left "paused" and can be resumed.
        RunDiffers: the run exists with other inputs.
        RunBusy: another process works on it.
    """
    time = clock if clock is not None else SystemClock()
    loop = _Loop(inquiry, answerer, run, time, watch)
    if run is None:
        await loop.work()
        return Discovery(inquiry, tuple(loop.resolver.log), loop.asked)
    with run.store.claim(run.name):
        counted = _start(run, inquiry, answerer.name, time)
        try:
            await loop.work()
        except BaseException:
            run.store.set_status(run.name, "paused", elapsed=loop.since_mark())
            raise
        found = Discovery(inquiry, tuple(loop.resolver.log), loop.asked)
        # A finished run that is named again only replays; its time was counted when it was worked.
        spent = 0.0 if counted else loop.since_mark()
        run.store.set_status(run.name, "finished", result_of(found), elapsed=spent)
    return found


def _inputs(inquiry: DiscoveryState) -> dict[str, Any]:
    return inputs_of(inquiry.problem, inquiry.settings, inquiry.table, inquiry.embedder.model_id)


def _start(run: Run, inquiry: DiscoveryState, mind: str, clock: Clock) -> bool:
    """Create the run or check that it is the same; whether it had finished before."""
    inputs = json.loads(json.dumps(_inputs(inquiry)))
    try:
        known = run.store.get(run.name)
    except RunNotFound:
        run.store.create(run.name, inputs, mind, clock.now())
        return False
    for field in ("problem", "settings", "data", "embedder"):
        # Runs of earlier versions did not say which embedder they had.
        if known.inputs.get(field, inputs[field]) != inputs[field]:
            raise RunDiffers(run=run.name, field=field)
    if known.mind != mind:
        raise RunDiffers(run=run.name, field="mind")
    run.store.set_status(run.name, "running")
    return known.status == "finished"


_GLUING_LIMIT = 12
"""Largest context whose restriction maps are decomposed; the work grows with the sixth power."""


def _gluing(inquiry: DiscoveryState) -> dict[str, float] | None:
    """How the contexts hang together; None without several contexts, or when one is large."""
    members = inquiry.problem.members()
    if len(members) < 2 or max(len(group) for group in members.values()) > _GLUING_LIMIT:
        return None
    # A latent is in no context's list; what it does to the listed variables is in the projection.
    whole = project(inquiry.sections[WHOLE], inquiry.problem.names)
    local = {name: section for name, section in inquiry.sections.items() if name != WHOLE}
    found = gluing_measures(whole, inquiry.cover, local)
    return {
        "h0": found.h0,
        "h1": found.h1,
        "invisible": found.invisible,
        "unglued": found.unglued,
        "residual": round(found.residual, 6),
        "obstruction": round(found.obstruction, 6),
    }


def _edge(
    inquiry: DiscoveryState, posterior: FloatArray, weights: FloatArray, cause: str, effect: str
) -> dict[str, Any]:
    """An edge as plain data; of an undecided one the probability is of being joined at all."""
    names = inquiry.problem.names
    row, flipped = inquiry.belief.pair(cause, effect)
    forward, backward = posterior[row, [1, 0] if flipped else [0, 1]].tolist()
    joined, way = forward + backward, forward / max(forward + backward, 1e-12)
    asked = inquiry.belief.touched[row] > 0
    if inquiry.leads is not None and not asked:
        # Only the table speaks, and how far its score is to be trusted is known.
        chances, ways = probabilities(inquiry.leads)
        a, b = names.index(cause), names.index(effect)
        joined, way = float(chances[a, b]), float(ways[a, b])
    decided = way >= DECIDED or (inquiry.table is None)
    return {
        "cause": cause,
        "effect": effect,
        "weight": round(float(weights[names.index(effect), names.index(cause)]), 4),
        "probability": round(joined * way if decided else joined, 4),
        "decided": decided,
        # Without an answer or a table about a pair only the prior speaks for its edge.
        "guessed": inquiry.table is None and not asked,
    }


def _add_units(table: Table, edges: list[dict[str, Any]]) -> None:
    """Least-squares weights in the table's units beside the standardised ones of greatest likelihood."""
    place = {name: k for k, name in enumerate(table.names)}
    seen = table.values[table.targets < 0] if (table.targets < 0).any() else table.values
    for effect in {edge["effect"] for edge in edges}:
        into = [edge for edge in edges if edge["effect"] == effect]
        design = np.column_stack([np.ones(len(seen)), *(seen[:, place[edge["cause"]]] for edge in into)])
        slopes = np.linalg.lstsq(design, seen[:, place[effect]], rcond=None)[0][1:]
        for edge, slope in zip(into, slopes, strict=True):
            edge["weight_per_unit"] = float(f"{slope:.6g}")


def result_of(found: Discovery) -> dict[str, Any]:
    """The graph with weights and probabilities, the latents, and what obstructions came to, as plain data."""
    inquiry = found.inquiry
    graph, names = inquiry.graph(), inquiry.problem.names
    fitted = inquiry.refit(graph)
    posterior = inquiry.belief.posterior()
    directed = [
        _edge(inquiry, posterior, fitted.weights, cause, effect) for cause, effect in sorted(graph.directed)
    ]
    if inquiry.table is not None:
        _add_units(inquiry.table, directed)
    bidirected = []
    for pair in sorted(graph.bidirected, key=sorted):
        first, second = sorted(pair)
        row, _ = inquiry.belief.pair(first, second)
        chance = graph.support.get(pair, float(posterior[row, 3]))
        bidirected.append({"between": [first, second], "probability": round(chance, 4)})
    return {
        "variables": list(names),
        "directed": directed,
        "bidirected": bidirected,
        "latents": {name: list(children) for name, children in graph.latents.items()},
        "obstructions": [
            {
                "contexts": [r.conflict.overlap.first, r.conflict.overlap.second],
                "edge": [r.conflict.first, r.conflict.second],
                "outcome": r.outcome,
                "latent": r.latent,
            }
            for r in found.resolutions
        ],
        "asked": found.asked,
        "descent": round(inquiry.descent_value(), 6),
        "gluing": _gluing(inquiry),
        "accuracy": {kind: round(inquiry.noise.accuracy(kind), 3) for kind in inquiry.noise.right},
    }
