"""What was learned, as plain values: the same for the command line, for HTTP and for the dashboard.

Each view is a function of the home's client and a query; it reads the memory file (and the journal) as any
other process may, beside the daemon.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from hal9.api.spend import cap_as_json, read_spending
from hal9.cluster.client import Cluster
from hal9.cluster.requests import request_as_json
from hal9.journal.listing import page_of_tasks
from hal9.learning import Ledger, PromptStore, change_as_told, learning_status, versions
from hal9.learning.detection.feedback import parse_feedback
from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.guards.predicate import guard_as_json
from hal9.learning.reporting.explain import explain
from hal9.learning.reporting.weight_history import weight_history
from hal9.learning.routing.weights import Edge, WeightStore
from hal9.learning.rules.preview import preview_feedback
from hal9.memory import MemoryStore, PatternStore, RuleStore, SearchFilter, search
from hal9.neurons import load_neurons
from hal9.promptgram import diff as promptgram_diff
from hal9.promptgram import token_distance

__all__ = [
    "VIEWS",
    "DiffQuery",
    "EdgeQuery",
    "HistoryQuery",
    "LedgerQuery",
    "NoQuery",
    "NumberQuery",
    "OverviewQuery",
    "RequestsQuery",
    "RulesQuery",
    "SearchQuery",
    "TaskQuery",
    "UnderstoodQuery",
    "View",
    "WeightsQuery",
    "rule_as_json",
]

T = TypeVar("T")
Name = Annotated[str, Field(max_length=200)]
View = Callable[[Cluster, Any], Awaitable[Any]]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoQuery(_Query):
    """Nothing to choose."""


class LedgerQuery(_Query):
    """Which changes."""

    neuron: Annotated[Name | None, Field(description="Only of this neuron (or other target).")] = None
    kinds: Annotated[Name, Field(description="Only these kinds, separated by commas.")] = ""
    states: Annotated[Name, Field(description="Only in these states, separated by commas.")] = ""
    limit: Annotated[int, Field(ge=1, le=1000, description="The newest so many.")] = 50


class RulesQuery(_Query):
    """Which rules."""

    state: Annotated[Name, Field(description="Only in this state.")] = ""
    limit: Annotated[int, Field(ge=1, le=5000, description="At most so many.")] = 500


class NumberQuery(_Query):
    """One thing by its number."""

    id: Annotated[int, Field(ge=1, le=2**62)]


class TaskQuery(_Query):
    """One task (or change) by its id, its beginning, its end; `last` is the newest task."""

    id: Name


class WeightsQuery(_Query):
    """Which connections."""

    source: Annotated[Name | None, Field(description="Only those that leave this neuron.")] = None


class EdgeQuery(_Query):
    """One connection."""

    source: Name
    target: Name


class HistoryQuery(_Query):
    """How many connections."""

    edges: Annotated[int, Field(ge=1, le=50, description="The most used so many.")] = 6


class UnderstoodQuery(_Query):
    """Words about a task's answer."""

    id: Name
    why: Annotated[str, Field(max_length=2000, description="Why it is wrong.")] = ""
    note: Annotated[str, Field(max_length=2000, description="A rule for next time.")] = ""


class DiffQuery(_Query):
    """Two versions of a neuron's prompt: "file", "now", a number, a hash's beginning, or a change's id."""

    neuron: Name
    first: Name = "file"
    second: Name = "now"


class OverviewQuery(_Query):
    """How many tasks."""

    tasks: Annotated[int, Field(ge=1, le=500, description="The newest so many.")] = 50


class RequestsQuery(_Query):
    """How many requests."""

    limit: Annotated[int, Field(ge=1, le=1000, description="The newest so many.")] = 20


class SearchQuery(_Query):
    """What to look for in the memories."""

    text: Annotated[str, Field(max_length=2000)]
    kind: Annotated[Name, Field(pattern="^(|error|learning|pattern|task|result)$")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 10


async def _stored(cluster: Cluster, read: Callable[[MemoryStore], T]) -> T:
    """Read the memory file: the one that a server keeps open, else open it for this once."""

    def run() -> T:
        if cluster.memory is not None:
            return read(cluster.memory)
        with MemoryStore(cluster.home.memory) as store:
            return read(store)

    return await asyncio.to_thread(run)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (one.strip() for one in text.split(",")) if word)


async def _ledger(cluster: Cluster, query: LedgerQuery) -> list[dict[str, Any]]:
    def read(store: MemoryStore) -> list[dict[str, Any]]:
        # A rule's changes are kept under an older name.
        kinds = tuple("mitigation" if kind == "rule" else kind for kind in _words(query.kinds))
        rows = Ledger(store).rows(kinds=kinds, target=query.neuron, states=_words(query.states))
        return [change_as_told(one) for one in rows[-query.limit :]]

    return await _stored(cluster, read)


async def _change(cluster: Cluster, query: TaskQuery) -> dict[str, Any]:
    return await _stored(cluster, lambda store: change_as_told(Ledger(store).get(query.id)))


async def _approvals(cluster: Cluster, _query: NoQuery) -> list[dict[str, Any]]:
    return await _stored(
        cluster, lambda store: [change_as_told(one) for one in Ledger(store).rows(states=("waiting",))]
    )


def rule_as_json(book: RuleStore, rule: Any) -> dict[str, Any]:
    """A rule with its record."""
    return {
        "id": rule.id,
        "state": rule.state,
        "why": rule.state_reason,
        "rule": rule.rule,
        "scope": rule.scope.label(),
        "workspace": rule.scope.workspace,
        "module": rule.scope.module,
        "family": rule.scope.task_family,
        "source": rule.source,
        "pattern_id": rule.pattern_id,
        "tried": rule.tried,
        "helped": rule.helped,
        "failed": rule.failed,
        "hurt": rule.hurt,
        "lower_bound": round(book.lower_bound(rule), 4),
        "created": rule.created,
        "last_used": rule.last_used,
    }


async def _rules(cluster: Cluster, query: RulesQuery) -> list[dict[str, Any]]:
    def read(store: MemoryStore) -> list[dict[str, Any]]:
        book = RuleStore(store)
        found = [one for one in book.all() if not query.state or one.state == query.state]
        return [rule_as_json(book, one) for one in found[-query.limit :]]

    return await _stored(cluster, read)


def _pattern_as_json(one: Any) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": one.title,
        "error_type": one.error_type,
        "scope": one.scope.label(),
        "occurrences": one.occurrences,
        "confidence": round(one.confidence, 4),
        "prevention_strategy": one.prevention_strategy,
        "signature": one.signature,
    }


async def _patterns(cluster: Cluster, _query: NoQuery) -> list[dict[str, Any]]:
    return await _stored(cluster, lambda store: [_pattern_as_json(one) for one in PatternStore(store).all()])


async def _pattern(cluster: Cluster, query: NumberQuery) -> dict[str, Any]:
    def read(store: MemoryStore) -> dict[str, Any]:
        one = PatternStore(store).get(query.id)
        book = RuleStore(store)
        with store.reading() as connection:
            tasks = [
                dict(row)
                for row in connection.execute(
                    "SELECT task_id, neuron, layer, magnitude, at FROM occurrences "
                    "WHERE pattern_id = ? ORDER BY id",
                    (query.id,),
                )
            ]
        rules = [rule_as_json(book, rule) for rule in book.all(pattern_id=query.id)]
        return {**_pattern_as_json(one), "mitigations": rules, "occurrences_in": tasks}

    return await _stored(cluster, read)


async def _weights(cluster: Cluster, query: WeightsQuery) -> list[dict[str, Any]]:
    settings, layers = cluster.current_settings().routing, await _layers(cluster)

    def read(store: MemoryStore) -> list[dict[str, Any]]:
        book = WeightStore(store, lambda: settings)
        return _with_probabilities(book, book.edges(query.source), layers)

    return await _stored(cluster, read)


async def _layers(cluster: Cluster) -> dict[str, int]:
    """Who can be chosen now, with the layer: the neurons that run, or those that would."""
    status = await cluster.status()
    found = dict(status.get("neurons", {}))
    for node in dict(status.get("nodes", {})).values():
        found.update(node.get("neurons", {}))
    if found:
        return found
    enabled = cluster.current_settings().neurons.enabled
    loaded = await asyncio.to_thread(load_neurons, cluster.home.neurons, enabled=enabled)
    return {name: one.meta.layer for name, one in loaded.items()}


def _with_probabilities(
    book: WeightStore, edges: list[Edge], layers: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Edges with their share in the next choice, and those that a choice may fall on and never did."""
    groups: dict[tuple[str, str], dict[str, Edge]] = {}
    for edge in edges:
        groups.setdefault((edge.source, edge.task_class), {})[edge.target] = edge
    rows = []
    for (source, task_class), known in groups.items():
        reached = {layers[name] for name in known if name in layers}
        rivals = {name for name, layer in layers.items() if layer in reached} | {*known}
        shares = book.probabilities(source, sorted(rivals), task_class=task_class)
        rows += [asdict(edge) | {"odds": shares[name]} for name, edge in known.items()]
        nothing = {"weight": None, "success_count": 0, "failure_count": 0, "discounted_success": 0.0,
                   "discounted_failure": 0.0, "last_adjusted": None}  # fmt: skip
        rows += [
            {"source": source, "target": name, "task_class": task_class, **nothing, "odds": shares[name]}
            for name in sorted(rivals - {*known})
        ]
    return rows


async def _edge(cluster: Cluster, query: EdgeQuery) -> dict[str, Any]:
    settings, layers = cluster.current_settings().routing, await _layers(cluster)

    def read(store: MemoryStore) -> dict[str, Any]:
        book = WeightStore(store, lambda: settings)
        siblings = _with_probabilities(book, book.edges(query.source), layers)
        return {
            "edges": [one for one in siblings if one["target"] == query.target],
            "siblings": siblings,
            "events": book.events(query.source, query.target),
            "known": sorted({f"{edge.source} → {edge.target}" for edge in book.edges()}),
        }

    return await _stored(cluster, read)


async def _learning(cluster: Cluster, _query: NoQuery) -> dict[str, Any]:
    settings = cluster.current_settings()
    return await _stored(cluster, lambda store: learning_status(store, settings))


async def _why(cluster: Cluster, query: TaskQuery) -> dict[str, Any]:
    task, steps = await cluster.task(query.id), await cluster.steps(query.id)
    return await _stored(cluster, lambda store: explain(store, task, steps))


async def _diff(cluster: Cluster, query: DiffQuery) -> dict[str, Any]:
    def read(store: MemoryStore) -> dict[str, Any]:
        loaded = load_neurons(cluster.home.neurons, enabled=[query.neuron])
        prompts = PromptStore(store, {name: one.promptgram for name, one in loaded.items()})
        found = [versions(store, prompts, query.neuron, which) for which in (query.first, query.second)]
        return {
            "neuron": query.neuron,
            "share": token_distance(*found),
            "diff": promptgram_diff(*found),
        }

    return await _stored(cluster, read)


async def _search(cluster: Cluster, query: SearchQuery) -> list[dict[str, Any]]:
    from hal9.cluster.services.learning import choose_embedder  # noqa: PLC0415 - loads the daemon's part of learning

    wanted = cluster.current_settings().memory.embedder

    def run() -> list[dict[str, Any]]:
        embedder, _notice = choose_embedder(wanted)
        with MemoryStore(cluster.home.memory, embedder=embedder) as store:
            where = SearchFilter(kinds=(query.kind,)) if query.kind else SearchFilter()  # type: ignore[arg-type]
            hits = search(store, query.text, where=where, limit=query.limit)
        return [
            {
                "id": hit.memory.id,
                "kind": hit.memory.kind,
                "score": round(hit.score, 4),
                "neuron": hit.memory.neuron,
                "layer": hit.memory.layer,
                "scope": hit.memory.scope.label(),
                "content": hit.memory.content,
                "task_id": hit.memory.task_id,
            }
            for hit in hits
        ]

    return await asyncio.to_thread(run)


async def _overview(cluster: Cluster, query: OverviewQuery) -> dict[str, Any]:
    found = await cluster.read(lambda connection: page_of_tasks(connection, limit=query.tasks))
    spending = await read_spending(cluster)
    return {
        "status": await cluster.status(),
        "tasks": [asdict(one) for one in found],
        "spent": {"tokens": spending.total.tokens, "usd": spending.total.usd} if spending else None,
        "caps": [cap_as_json(one) for one in spending.caps] if spending else [],
        "approvals": len(await _approvals(cluster, NoQuery())),
        "questions": len(await cluster.questions()),
    }


async def _requests(cluster: Cluster, query: RequestsQuery) -> list[dict[str, Any]]:
    return [request_as_json(one) for one in await cluster.requests(limit=query.limit)]


async def _guards(cluster: Cluster, _query: NoQuery) -> list[dict[str, Any]]:
    def read(store: MemoryStore) -> list[dict[str, Any]]:
        return [{**asdict(one), "guard": guard_as_json(one.guard)} for one in GuardStore(store).all()]

    return await _stored(cluster, read)


async def _history(cluster: Cluster, query: HistoryQuery) -> list[dict[str, Any]]:
    return await _stored(cluster, lambda store: weight_history(store, edges=query.edges))


async def _understood(cluster: Cluster, query: UnderstoodQuery) -> list[str]:
    task = await cluster.task(query.id)
    given = {name: value for name, value in (("why", query.why), ("note", query.note)) if value.strip()}
    feedback = parse_feedback({"verdict": "reject", **given})
    return await _stored(cluster, lambda store: preview_feedback(feedback, task, RuleStore(store)))


VIEWS: dict[str, tuple[View, type[BaseModel], str]] = {
    "overview": (_overview, OverviewQuery, "Everything at a glance: state, tasks, spend, what waits."),
    "ledger": (_ledger, LedgerQuery, "Changes of what was learned, newest last."),
    "change": (_change, TaskQuery, "One change by its id, or a unique end of it."),
    "approvals": (_approvals, NoQuery, "Changes that wait for a person."),
    "requests": (_requests, RequestsQuery, "What was asked of the cluster lately, and the answers."),
    "rules": (_rules, RulesQuery, "Rules, and how often each has helped."),
    "patterns": (_patterns, NoQuery, "Recurring errors, surest first."),
    "pattern": (_pattern, NumberQuery, "One recurring error, with its rules and the tasks it was seen in."),
    "weights": (_weights, WeightsQuery, "Connection weights between neurons."),
    "weight-history": (_history, HistoryQuery, "How the most used connections came to their weights."),
    "guards": (_guards, NoQuery, "What is checked before an action, and how often it fired and was right."),
    "understood": (
        _understood,
        UnderstoodQuery,
        "What a correction would be taken to mean.",
    ),
    "edge": (_edge, EdgeQuery, "One connection: its probability now, and the tasks behind them."),
    "learning": (_learning, NoQuery, "Learning at a glance."),
    "why": (_why, TaskQuery, "Why an answer came out so, and what was learned from it."),
    "prompt-diff": (_diff, DiffQuery, "What differs between two versions of a neuron's prompt."),
    "memories": (_search, SearchQuery, "Memories found by words and by meaning."),
}
"""Name: the function, its query, what it shows. Over HTTP each is GET /v1/NAME."""
