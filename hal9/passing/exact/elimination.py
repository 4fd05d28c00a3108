"""In which order variables are eliminated and what it costs: min-fill, min-weight, or the cheaper."""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Elimination", "Order", "Plan", "eliminate", "maximal_cliques", "plan"]

Elimination: TypeAlias = Literal["auto", "min-fill", "min-weight"]
Order: TypeAlias = list[tuple[int, frozenset[int]]]
"""Variables in elimination order, each with its neighbours at that moment."""

_WORK_PER_NODE = 4000  # neighbour look-ups per variable before elimination of a large, dense graph gives up
_EASY = 2**16
"""Entries of all tables together below which a second order is not worth looking for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An order with its cost.

    Attributes:
        order: None when a graph is so dense that looking for an order was given up.
        entries: of all clique tables together, at least.
        largest: entries of the largest clique table.
    """

    order: Order | None
    entries: int
    largest: int


def _fill(near: list[set[int]], v: int) -> int:
    """Edges that eliminating `v` would add."""
    around = near[v]
    return sum(len(around) - 1 - len(near[u] & around) for u in around) // 2


def _join(near: list[set[int]], v: int) -> set[int]:
    """Eliminate `v`: join its neighbours pairwise; returns the variables whose cost may have changed."""
    around = near[v]
    touched = set(around)
    for u in around:
        near[u].discard(v)
    for u in around:
        new = around - near[u] - {u}
        # A new edge changes the fill of both ends and of whoever neighbours both.
        for w in new:
            touched |= near[u] & near[w]
        near[u] |= new
    return touched


def eliminate(near: Sequence[set[int]], states: Sequence[int], variables: Iterable[int], rule: str) -> Plan:
    """Greedy elimination.

    Args:
        near: neighbours of each variable; not changed.
        states: of each variable.
        variables: those that are eliminated.
        rule: "min-fill" (fewest edges added) or "min-weight" (smallest table).
    """
    left = [set(others) for others in near]
    logs = [math.log(s) for s in states]

    def cost(v: int) -> float:
        if rule == "min-weight":
            return logs[v] + sum(logs[u] for u in left[v])
        return float(_fill(left, v))

    chosen = list(variables)
    limit = _WORK_PER_NODE * max(len(chosen), 100)
    current = {v: cost(v) for v in chosen}
    heap = [(current[v], len(left[v]), v) for v in chosen]
    heapq.heapify(heap)
    order: Order = []
    entries, largest, work = 0, 0, 0
    while heap:
        price, degree, v = heapq.heappop(heap)
        if current.get(v) != price or degree != len(left[v]):
            continue
        around = frozenset(left[v])
        size = math.prod((int(states[u]) for u in around), start=int(states[v]))
        entries, largest = entries + size, max(largest, size)
        work += len(around) ** 2
        if work > limit:
            return Plan(None, entries, largest)
        order.append((v, around))
        del current[v]
        for u in _join(left, v):
            work += len(left[u])
            current[u] = cost(u)
            heapq.heappush(heap, (current[u], len(left[u]), u))
    needed = sum(math.prod(int(states[v]) for v in scope) for scope in maximal_cliques(order)[0])
    return Plan(order, needed, largest)


def plan(
    near: Sequence[set[int]], states: Sequence[int], variables: Iterable[int], rule: Elimination
) -> Plan:
    """The order by a rule; "auto" takes the cheaper of both where it matters."""
    chosen = list(variables)
    first = eliminate(near, states, chosen, "min-fill" if rule == "auto" else rule)
    if rule != "auto" or first.order is None or first.entries <= _EASY:
        return first
    second = eliminate(near, states, chosen, "min-weight")
    return second if second.order is not None and second.entries < first.entries else first


def maximal_cliques(order: Order) -> tuple[list[frozenset[int]], list[int], dict[int, int]]:
    """Cliques that lie in no other, the variable towards which each sends (-1 for a root), and homes."""
    rank = {v: i for i, (v, _) in enumerate(order)}
    scopes: list[frozenset[int]] = []
    parents: list[int] = []
    home: dict[int, int] = {}
    senders: dict[int, list[int]] = {}
    for v, around in order:
        scope = around | {v}
        upward = min(around, key=rank.__getitem__, default=-1)
        # A clique that lies within one of those that send to it adds nothing: that one takes its place.
        home[v] = next((c for c in senders.get(v, ()) if scope <= scopes[c]), len(scopes))
        if home[v] == len(scopes):
            scopes.append(scope)
            parents.append(upward)
        else:
            parents[home[v]] = upward
        senders.setdefault(upward, []).append(home[v])
    return scopes, parents, home
