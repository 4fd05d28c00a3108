"""The gate of HAL9's own tool loop: what was learned decides before an action, and learns how it ended."""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable

from hal9.errors.base import Hal9Error
from hal9.learning.guards.advised import Advised
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import repository_of
from hal9.tools.action import Action, ActionContext, ActionOutcome, Decision

__all__ = ["LearnedGate"]

_log = logging.getLogger("hal9.learning.guards")
_MOST_RUNS = 256


class LearnedGate:
    """An `ActionGate`. It can hold up and remind, never permit: the policy beside it decides on its own.

    Args:
        advisor: what was learned.
        learning: whether outcomes may be learned from now.
    """

    def __init__(self, advisor: ActionAdvisor, *, learning: Callable[[], bool] = lambda: True) -> None:
        self._advisor = advisor
        self._learning = learning
        self._runs: OrderedDict[str, RunWatch] = OrderedDict()
        self._advised: dict[str, Advised] = {}

    async def before(self, action: Action, context: ActionContext) -> Decision:
        """Refuse, remind or rewrite; whatever goes wrong here lets the action through."""
        try:
            advised = await asyncio.to_thread(self._before, action, context)
        except (Hal9Error, sqlite3.Error, OSError, ValueError, RecursionError) as error:
            _log.warning("guards could not look at an action of %s: %s", context.task_id, error)
            return Decision()
        return Decision(
            verdict=advised.effect, reason=advised.reason, source=advised.source, action=advised.action
        )

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        """Learn from the outcome; an error here changes nothing for the turn."""
        if not self._learning():
            return
        try:
            await asyncio.to_thread(self._after, action, context, outcome)
        except (Hal9Error, sqlite3.Error, OSError, ValueError, RecursionError) as error:
            _log.warning("guards could not learn from an action of %s: %s", context.task_id, error)

    def _before(self, action: Action, context: ActionContext) -> Advised:
        watch = self._watch(context)
        advised = self._advisor.before(action, watch)
        self._advised[_key(context)] = advised
        return advised

    def _after(self, action: Action, context: ActionContext, outcome: ActionOutcome) -> None:
        advised = self._advised.pop(_key(context), Advised())
        self._advisor.after(
            action, self._watch(context), advised, exit_code=outcome.exit_code, output=outcome.observation
        )

    def _watch(self, context: ActionContext) -> RunWatch:
        key = _key(context)
        known = self._runs.get(key)
        if known is None:
            repository = repository_of(context.workspace)
            view = LiveView(root=context.workspace)
            known = self._runs[key] = RunWatch.begin(
                repository.identity, RunState(root=context.workspace, view=view)
            )
            while len(self._runs) > _MOST_RUNS:
                gone, _ = self._runs.popitem(last=False)
                self._advised.pop(gone, None)
        self._runs.move_to_end(key)
        return known


def _key(context: ActionContext) -> str:
    return context.signal_id or context.task_id
