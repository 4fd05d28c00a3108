"""From what the other variables of a factor say to what the factor tells its receiver.

Messages are logs. Binary variables carry log odds (one row), others one row per state with maximum 0.
Tables whose logs span a small finite range are exponentiated once; tables with zeros or a wide range go
through a true log-sum-exp, which costs more and cannot underflow.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from hal9.passing.result import Array
from hal9.passing.tables.inference import Mode
from hal9.passing.tables.potentials import Group, logsumexp

__all__ = ["Rule", "joint", "make_rule", "unfold"]

Rule: TypeAlias = Callable[[list[Array]], Array]

_SPAN = 300.0  # widest range of log tables that is exponentiated: exp(-300) is far from underflow
_ODDS = 600.0  # log odds beyond this are certain to double precision, and exp of them must not overflow
_CHUNK = 2**20  # entries of a temporary table over all factors of one call


def unfold(rows: Array, states: int) -> Array:
    """Log odds as two rows; anything else as it is. Of shape (1 or states, ...) into (states, ...)."""
    return np.concatenate([np.zeros_like(rows), rows]) if states == 2 and len(rows) == 1 else rows


def fold(rows: Array, zero: float) -> Array:
    """Rows per state as messages: log odds for two states, else shifted to maximum 0; floored at log 0.

    Of shape (states, ...) into (1 or states, ...).
    """
    if len(rows) == 2:
        top = rows.max(axis=0)
        low = np.maximum(rows - np.maximum(top, -1e300), zero)
        odds: Array = low[1:] - low[:1]
        return odds
    out: Array = np.maximum(rows - np.maximum(rows.max(axis=0), -1e300), zero)
    return out


def joint(table: Array, answers: list[Array | None]) -> Array:
    """Log table plus the answers of its slots, shape (k1, ..., kr, batch, F).

    Args:
        table: Shape (k1, ..., kr, F), or one shared table (F = 1).
        answers: Per slot messages of shape (rows, batch, F), or None.
    """
    arity = len(answers)
    total = table[..., None, :]
    for slot, answer in enumerate(answers):
        if answer is not None:
            rows = unfold(answer, table.shape[slot])
            shape = [1] * arity
            shape[slot] = len(rows)
            total = total + rows.reshape(*shape, *rows.shape[1:])
    return total


def make_rule(group: Group, slot: int, factors: Array, *, mode: Mode, zero: float, rho: Array | None) -> Rule:
    """The rule for messages from `factors` of a group to their variable in `slot`.

    `factors` and `rho` have shape (factors,).

    Args:
        group: The factors.
        slot: Which of their variables receives.
        factors: Places in the group.
        mode: Sum- or max-product.
        zero: What stands for log 0.
        rho: Share of spanning trees that hold each factor's edge, or None for belief propagation.
    """
    shared = group.table.shape[-1] == 1
    table = group.table if shared else np.ascontiguousarray(group.table[..., factors])
    # The receiver's axis goes last of the states, so that rules see (other states ..., own states, F).
    table = np.moveaxis(table, slot, -2)
    if rho is not None:
        table = table / rho
        scale = rho
    top = table.max(axis=tuple(range(table.ndim - 1)))
    table = np.ascontiguousarray(table - np.where(np.isfinite(top), top, 0.0))
    plain = bool(np.isfinite(table).all()) and float(-table.min(initial=0.0)) <= _SPAN
    if mode == "max":
        rule = _largest_binary(table) if plain and table.shape[:-1] == (2, 2) else _largest(table, zero)
    elif not plain:
        rule = _log_domain(table, zero)
    elif table.shape[:-1] == (2, 2):
        rule = _binary(table)
    elif table.ndim == 3:
        rule = _pairwise(table, zero)
    else:
        rule = _log_domain(table, zero)
    if rho is None:
        return rule
    return lambda incoming: rule(incoming) * scale


def _binary(table: Array) -> Rule:
    """Two binary variables: log odds to log odds with one exponential and one logarithm."""
    w = np.exp(table)
    w00, w01, w10, w11 = w[0, 0], w[0, 1], w[1, 0], w[1, 1]

    def rule(incoming: list[Array]) -> Array:
        odds = incoming[0]
        np.maximum(odds, -_ODDS, out=odds)
        np.minimum(odds, _ODDS, out=odds)
        np.exp(odds, out=odds)
        above = odds * w11
        above += w01
        odds *= w10
        odds += w00
        above /= odds
        out: Array = np.log(above, out=above)
        return out

    return rule


def _pairwise(table: Array, zero: float) -> Rule:
    """Two variables: one product per state of the sender, or one matrix product for a shared table."""
    weights = np.exp(table)
    shared = table.shape[-1] == 1

    def rule(incoming: list[Array]) -> Array:
        logs = unfold(incoming[0], len(weights))
        share = np.exp(logs - logs.max(axis=0))
        if shared:
            total = (weights[:, :, 0].T @ share.reshape(len(share), -1)).reshape(-1, *share.shape[1:])
        else:
            total = weights[0][:, None, :] * share[0]
            term = np.empty_like(total)
            for state in range(1, len(share)):
                np.multiply(weights[state][:, None, :], share[state], out=term)
                total += term
        with np.errstate(divide="ignore"):
            return fold(np.log(total, out=total), zero)

    return rule


def _in_chunks(table: Array, incoming: list[Array], reduce: Callable[[Array, list[Array]], Array]) -> Array:
    """Apply `reduce` to slices of the factors so that no temporary table grows beyond memory."""
    count, batch = incoming[0].shape[-1], incoming[0].shape[-2]
    step = max(1, _CHUNK // max(1, int(np.prod(table.shape[:-1])) * batch))
    if step >= count:
        return reduce(table, incoming)
    parts = []
    for low in range(0, count, step):
        piece = slice(low, low + step)
        part = table if table.shape[-1] == 1 else table[..., piece]
        parts.append(reduce(part, [x[..., piece] for x in incoming]))
    return np.concatenate(parts, axis=-1)


def _log_domain(table: Array, zero: float) -> Rule:
    """Any arity, zeros, wide ranges."""
    axes = tuple(range(table.ndim - 2))

    def reduce(part: Array, incoming: list[Array]) -> Array:
        return fold(logsumexp(joint(part, [*incoming, None]), axes), zero)

    return lambda incoming: _in_chunks(table, incoming, reduce)


def _largest_binary(table: Array) -> Rule:
    """Max-product for two binary variables, on log odds throughout."""
    w00, w01, w10, w11 = table[0, 0], table[0, 1], table[1, 0], table[1, 1]

    def rule(incoming: list[Array]) -> Array:
        odds = incoming[0]
        above: Array = odds + w11
        np.maximum(above, w01, out=above)
        odds += w10
        np.maximum(odds, w00, out=odds)
        above -= odds
        return above

    return rule


def _largest(table: Array, zero: float) -> Rule:
    """Max-product, any arity."""
    axes = tuple(range(table.ndim - 2))

    def reduce(part: Array, incoming: list[Array]) -> Array:
        return fold(joint(part, [*incoming, None]).max(axis=axes), zero)

    return lambda incoming: _in_chunks(table, incoming, reduce)
