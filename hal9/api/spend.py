"""What the cluster has spent, and how that stands against its caps: for pages, terminals and metrics."""

import asyncio
from dataclasses import dataclass
from typing import Any

from hal9.budgets import BudgetStore, LimitUsage, Spend
from hal9.clock import Clock, SystemClock
from hal9.cluster.client import Cluster
from hal9.cluster.services.thinking import budget_limits
from hal9.database import is_there

__all__ = ["Spending", "cap_as_json", "read_spending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """All settled calls together, and each cap for an hour or a day."""

    total: Spend
    caps: tuple[LimitUsage, ...]


async def read_spending(cluster: Cluster, *, clock: Clock | None = None) -> Spending | None:
    """The book of budgets as it is now; None while nothing has ever been reserved in it."""
    home = cluster.home
    if not is_there(home.budgets):
        return None
    limits = budget_limits(cluster.current_settings())

    def read() -> Spending:
        with BudgetStore(home.budgets, limits, clock=clock or SystemClock()) as book:
            return Spending(total=book.totals(), caps=book.standings())

    return await asyncio.to_thread(read)


def cap_as_json(one: LimitUsage) -> dict[str, Any]:
    """How one cap stands: for an hour or a day, of tokens, dollars or seconds."""
    return {
        "scope": one.limit.scope,
        "kind": one.limit.kind,
        "limit": one.limit.value,
        "used": one.spent + one.reserved,
    }
