"""Belief propagation on factor graphs with loops: sum- and max-product, plain and tree-reweighted.

A message is kept per (factor, variable); what a variable answers is its belief without that message, so
nothing is ever told back to where it came from. Columns of the message arrays are ordered by the colour of
the receiving variable: a colour's messages are one contiguous slice, and a red-black sweep costs what a
parallel one does.

Sources: Pearl 1988; Yedidia, Freeman and Weiss 2005 (Bethe free energy); Wainwright, Jaakkola and Willsky
2005 (tree-reweighted bound).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hal9.errors.passing import EvidenceContradictory, PassingInvalid
from hal9.passing.graph import Graph
from hal9.passing.loopy.bethe import Bethe
from hal9.passing.loopy.messages import Rule, joint, make_rule, unfold
from hal9.passing.loopy.tree_weights import spanning_tree_shares
from hal9.passing.result import Array, Passing, fixed_point
from hal9.passing.tables.inference import Inference, Marginals, Mode
from hal9.passing.tables.potentials import Group, Local, Potentials

__all__ = ["Loopy", "LoopyPlan"]

_ZERO = -1e3  # stands for log 0 while messages are subtracted; exp(-1000) is 0 in double precision


@dataclass(frozen=True, kw_only=True)
class Loopy:
    """How messages are passed.

    Attributes:
        schedule: "colour" (red-black on a grid; converges far more often) or "parallel".
        damping: Share of the old message that is kept, in [0, 1).
        tol: Largest allowed change of a log message; None runs exactly `max_iter` rounds.
        max_iter: Most rounds; every message is sent once per round.
        seed: Of the random spanning trees behind method "trw".
    """

    schedule: Literal["colour", "parallel"] = "colour"
    damping: float = 0.3
    tol: float | None = 1e-9
    max_iter: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.damping < 1.0 or self.max_iter < 1 or self.schedule not in ("colour", "parallel"):
            raise PassingInvalid(
                what="loopy", detail="needs damping in [0, 1), max_iter >= 1, schedule 'colour' or 'parallel'"
            )


@dataclass(eq=False)
class _Block:
    """Variables with equally many states, and the messages to them."""

    states: int
    rows: int  # rows of a message array: one (log odds) for binary variables, else one per state
    variables: Array  # ordered by colour
    receivers: Array  # position among `variables` of each column's receiver
    variable_cuts: Array
    column_cuts: Array
    offset: int = 0  # first entry in the flat message vector, per case


@dataclass(eq=False)
class _Task:
    """Messages from the factors of one group to their variables of one colour in one slot."""

    colour: int
    block: int
    columns: slice
    group: int
    slot: int
    factors: Array
    indices: list[tuple[int, int, Array, Array]] | None = None


def _primal(potentials: Potentials) -> Graph:
    """Variables joined by an edge when some factor holds both."""
    ends = [
        (g.variables[:, a], g.variables[:, b])
        for g in potentials.groups
        for a in range(g.arity)
        for b in range(a + 1, g.arity)
    ]
    src = np.concatenate([a for a, _ in ends] or [np.zeros(0, dtype=np.intp)])
    dst = np.concatenate([b for _, b in ends] or [np.zeros(0, dtype=np.intp)])
    return Graph.undirected(src, dst, potentials.n)


class LoopyPlan:
    """Index arrays of a factor graph, made once and used by every run."""

    def __init__(self, potentials: Potentials) -> None:
        self.potentials = potentials
        self.primal = _primal(potentials)
        self.colour: Array = self.primal.colours
        self.colours = int(self.colour.max(initial=0)) + 1
        self.blocks: dict[int, _Block] = {}
        self.place: Array = np.zeros(potentials.n, dtype=np.intp)
        self.columns: list[list[Array]] = [
            [np.zeros(len(g.ids), dtype=np.intp) for _ in range(g.arity)] for g in potentials.groups
        ]
        self.tasks: list[_Task] = []
        for states, members in potentials.members.items():
            self._add_block(states, members)
        offset = 0
        for block in self.blocks.values():
            block.offset = offset
            offset += block.rows * len(block.receivers)
        self.size = offset
        self.tasks.sort(key=lambda t: t.colour)
        self._sums: dict[tuple[int, int], Any] = {}
        self._rules: dict[tuple[Any, ...], list[Rule]] = {}

    def _add_block(self, states: int, members: Array) -> None:
        ordered = members[np.argsort(self.colour[members], kind="stable")]
        self.place[ordered] = np.arange(len(ordered))
        cuts = np.searchsorted(self.colour[ordered], np.arange(self.colours + 1))
        receivers, column_cuts, width = [np.zeros(0, dtype=np.intp)], [0], 0
        for colour in range(self.colours):
            for g, group in enumerate(self.potentials.groups):
                for slot in range(group.arity):
                    if group.shape[slot] != states:
                        continue
                    to = group.variables[:, slot]
                    chosen = np.flatnonzero(self.colour[to] == colour)
                    if not len(chosen):
                        continue
                    columns = slice(width, width + len(chosen))
                    self.columns[g][slot][chosen] = np.arange(columns.start, columns.stop)
                    self.tasks.append(_Task(colour, states, columns, g, slot, chosen))
                    receivers.append(self.place[to[chosen]])
                    width = columns.stop
            column_cuts.append(width)
        self.blocks[states] = _Block(
            states=states,
            rows=1 if states == 2 else states,
            variables=ordered,
            receivers=np.concatenate(receivers),
            variable_cuts=cuts,
            column_cuts=np.array(column_cuts),
        )

    def summing(self, states: int, colour: int) -> Any:
        """Variables x columns of one colour as a sparse matrix of ones."""
        from scipy.sparse import csr_array  # noqa: PLC0415 - importing the room must stay cheap

        key = (states, colour)
        if key not in self._sums:
            block = self.blocks[states]
            low, high = block.variable_cuts[colour], block.variable_cuts[colour + 1]
            first, last = block.column_cuts[colour], block.column_cuts[colour + 1]
            to = block.receivers[first:last] - low
            order = np.argsort(to, kind="stable").astype(np.int32)
            pointer = np.concatenate([[0], np.cumsum(np.bincount(to, minlength=high - low))]).astype(np.int32)
            self._sums[key] = csr_array(
                (np.ones(len(to)), order, pointer), shape=(int(high - low), int(last - first))
            )
        return self._sums[key]

    def answers(self, task: _Task) -> list[tuple[int, int, Array, Array]]:
        """For each slot: states, slot, where the variables' beliefs are, and their own messages' columns.

        The arrays have shape (factors of the task,).
        """
        if task.indices is None:
            group: Group = self.potentials.groups[task.group]
            task.indices = [
                (
                    group.shape[slot],
                    slot,
                    self.place[group.variables[task.factors, slot]],
                    self.columns[task.group][slot][task.factors],
                )
                for slot in range(group.arity)
            ]
        return task.indices

    def rules(self, mode: Mode, rho: Array | None, seed: int, zero: float) -> list[Rule]:
        """For each task the function from incoming to outgoing messages, with its tables prepared.

        `rho` has shape (factors,).
        """
        key = (mode, rho is None, seed if rho is not None else None)
        if key not in self._rules:
            self._rules[key] = [
                make_rule(
                    self.potentials.groups[t.group],
                    t.slot,
                    t.factors,
                    mode=mode,
                    zero=zero,
                    rho=None if rho is None else rho[self.potentials.groups[t.group].ids][t.factors],
                )
                for t in self.tasks
            ]
        return self._rules[key]

    @cached_property
    def zero(self) -> float:
        """What stands for log 0: below anything that the finite tables can add up to locally."""
        spread = 0.0
        for group in self.potentials.groups:
            finite = group.table[np.isfinite(group.table)]
            if finite.size:
                spread = max(spread, float(finite.max() - finite.min()))
        return min(_ZERO, -10.0 * spread)

    def run(
        self, local: Local, loopy: Loopy, *, mode: Mode, method: Literal["bp", "trw"], messages: Array | None
    ) -> Inference:
        """Pass messages until they settle; see `FactorGraph.infer`.

        `messages` has shape (flat,), all messages in a row.
        """
        rho = None
        if method == "trw":
            if not self.potentials.pairwise:
                raise PassingInvalid(
                    what="method", detail="'trw' needs pairwise factors", remedy="Use 'bp' or 'exact'"
                )
            rho = spanning_tree_shares(self.potentials, loopy.seed)
        state = LoopyState(self, local, mode, rho, loopy)
        start = np.zeros(self.size * local.batch)
        if messages is not None:
            if messages.shape != start.shape:
                raise PassingInvalid(
                    what="init",
                    detail=f"holds {messages.size} message entries, this graph and batch need {start.size}",
                )
            start = messages
        found = fixed_point(
            state.sweep, start, tol=loopy.tol, max_iter=loopy.max_iter, what="messages", on_failure="ignore"
        )
        return state.finish(found, method)


class LoopyState:
    """One run: local potentials, tables, and the beliefs that the messages make."""

    def __init__(self, plan: LoopyPlan, local: Local, mode: Mode, rho: Array | None, loopy: Loopy) -> None:
        self.plan = plan
        self.local = local
        self.mode: Mode = mode
        self.rho = rho
        self.damping = loopy.damping
        self.at_once = loopy.schedule == "parallel"
        self.zero = plan.zero
        self.rules = plan.rules(mode, rho, loopy.seed, self.zero)
        self.theta: dict[int, Array] = {}
        for k, block in plan.blocks.items():
            own = local.blocks[k][:, :, plan.potentials.position[block.variables]]
            own = own - np.maximum(own.max(axis=0), -1e300)
            own = np.maximum(own, self.zero)
            self.theta[k] = own[1:] - own[:1] if k == 2 else own
        self.inverse_rho = None if rho is None else [1.0 / rho[g.ids] for g in plan.potentials.groups]

    def views(self, flat: Array) -> dict[int, Array]:
        """The flat message vector as one array (rows, batch, columns) per number of states.

        `flat` has shape (flat,), all messages in a row.
        """
        out = {}
        for k, block in self.plan.blocks.items():
            low = block.offset * self.local.batch
            shape = (block.rows, self.local.batch, len(block.receivers))
            out[k] = flat[low : low + int(np.prod(shape))].reshape(shape)
        return out

    def gather(self, beliefs: dict[int, Array], k: int, messages: Array, colour: int) -> None:
        """Beliefs of one colour from its messages. Arrays have shape (rows, batch, columns)."""
        block = self.plan.blocks[k]
        low, high = int(block.variable_cuts[colour]), int(block.variable_cuts[colour + 1])
        first, last = int(block.column_cuts[colour]), int(block.column_cuts[colour + 1])
        if low == high:
            return
        summing = self.plan.summing(k, colour)
        for row in range(block.rows):
            for case in range(self.local.batch):
                beliefs[k][row, case, low:high] = (
                    self.theta[k][row, case, low:high] + summing @ messages[row, case, first:last]
                )

    def beliefs(self, messages: dict[int, Array]) -> dict[int, Array]:
        """Unnormalised log beliefs (log odds for binary variables), per number of states.

        Arrays have shape (rows, batch, columns).
        """
        out = {k: np.empty_like(t) for k, t in self.theta.items()}
        for k in self.plan.blocks:
            for colour in range(self.plan.colours):
                self.gather(out, k, messages[k], colour)
        return out

    def incoming(
        self, beliefs: dict[int, Array], messages: dict[int, Array], task: _Task, *, every: bool = False
    ) -> list[Array]:
        """What the other variables of the factors answer, slot by slot (`every`: the receiver, too).

        Arrays have shape (rows, batch, columns).
        """
        out = []
        for k, slot, place, columns in self.plan.answers(task):
            if slot == task.slot and not every:
                continue
            back = np.take(messages[k], columns, axis=-1, mode="clip")
            if self.inverse_rho is not None:
                back *= self.inverse_rho[task.group][task.factors]
            out.append(np.subtract(np.take(beliefs[k], place, axis=-1, mode="clip"), back, out=back))
        return out

    def sweep(self, old: Array) -> Array:
        """Every message once. In and out of shape (flat,)."""
        flat = old.copy()
        new, kept = self.views(flat), self.views(old)
        source = kept if self.at_once else new
        beliefs = self.beliefs(kept)
        tasks, rules = self.plan.tasks, self.rules
        for i, (task, rule) in enumerate(zip(tasks, rules, strict=True)):
            message = rule(self.incoming(beliefs, source, task))
            target = new[task.block][:, :, task.columns]
            if self.damping:
                message *= 1.0 - self.damping
                target *= self.damping
                target += message
            else:
                target[...] = message
            last = i + 1 == len(tasks) or tasks[i + 1].colour != task.colour
            if last and not self.at_once:
                for k in self.plan.blocks:
                    self.gather(beliefs, k, new[k], task.colour)
        return flat

    def finish(self, found: Passing, method: Literal["bp", "trw"]) -> Inference:
        """Marginals and diagnostics from the last messages."""
        messages = self.views(found.state)
        beliefs = self.beliefs(messages)
        self._refuse_contradictions(messages)
        marginals = {}
        for k, block in self.plan.blocks.items():
            rows = unfold(beliefs[k], k)
            share = np.exp(rows - rows.max(axis=0))
            share /= share.sum(axis=0)
            marginals[k] = np.empty_like(share)
            marginals[k][:, :, self.plan.potentials.position[block.variables]] = share

        def log_joint(index: int, places: Array) -> Array:
            group = self.plan.potentials.groups[index]
            table = group.table if group.table.shape[-1] == 1 else group.table[..., places]
            if self.inverse_rho is not None:
                table = table * self.inverse_rho[index][places]
            whole = _Task(0, 0, slice(0), index, 0, places)
            answers: list[Array | None] = [*self.incoming(beliefs, messages, whole, every=True)]
            return joint(table, answers)

        bethe = Bethe(self.plan.potentials, self.local, marginals, log_joint, rho=self.rho, mode=self.mode)
        result = Inference(
            marginals=Marginals(
                marginals,
                self.plan.potentials.cardinality,
                self.plan.potentials.position,
                batched=self.local.batched,
            ),
            method=method,
            mode=self.mode,
            log_z=bethe.log_z,
            factor=bethe.factor,
            assignment=bethe.assignment,
            batched=self.local.batched,
        )
        result.converged, result.iterations = found.converged, found.iterations
        result.residuals, result.messages = found.residuals, found.state
        return result

    def _refuse_contradictions(self, messages: dict[int, Array]) -> None:
        """A variable all of whose states something excludes has no belief at all."""
        bar = 0.5 * self.zero
        for k, block in self.plan.blocks.items():
            if k == 2:
                low = np.concatenate([-self.theta[k], self.theta[k]]) <= bar
                hits = np.concatenate([-messages[k], messages[k]]) <= bar
            else:
                low, hits = self.theta[k] <= bar, messages[k] <= bar
            if not hits.any() and not low.all(axis=0).any():
                continue
            for column in np.flatnonzero(hits.any(axis=(0, 1))).tolist():
                low[:, :, block.receivers[column]] |= hits[:, :, column]
            dead = np.flatnonzero(low.all(axis=0).any(axis=0))
            if len(dead):
                raise EvidenceContradictory(variable=int(block.variables[dead[0]]))
