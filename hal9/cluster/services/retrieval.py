"""What a neuron is told of earlier tasks: one memory or none, found beside whoever is writing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hal9.cluster.services.thinking import resolve_spec
from hal9.memory import (
    MemoryScope,
    MemoryStore,
    Recall,
    RecallPolicy,
    RuleStore,
    not_followed_by,
    recall_many,
    scope_of,
    together,
)
from hal9.memory.rules.lookup import placed_rules
from hal9.memory.rules.roles import roles_of
from hal9.neurons import NeuronDefinition
from hal9.settings import Settings
from hal9.signals import TaskScope

__all__ = ["RuleRetrieval"]

_LONG = 4000  # characters


class RuleRetrieval:
    """The `MemoryRetriever` of a home.

    Args:
        store: the memory file, on a connection of its own: no neuron waits for a consolidation.
        rules: the same file's rules, read in the event loop, hence on a connection of their own too.
        definitions: neurons by name.
        settings: in force now.
        likely_files: which files a task is about that names none; asked only where rules for places wait.
    """

    def __init__(
        self,
        store: MemoryStore,
        rules: RuleStore,
        *,
        definitions: Mapping[str, NeuronDefinition],
        settings: Callable[[], Settings],
        likely_files: Callable[[Path, str], Awaitable[list[str]]] | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._definitions = definitions
        self._settings = settings
        self._likely_files = likely_files

    async def recall(
        self, objective: str, *, scope: TaskScope, neuron: str, layer: int, part: bool = False
    ) -> Recall | None:
        """One memory or none; layers above implementation get the rule without the solved example."""
        memory = self._settings().memory
        if memory.recall_limit == 0:
            return None
        roles = roles_of(layer, part=part)
        wanted = replace(await self._scope(objective, scope, scope.paths), roles=roles)
        waiting = not wanted.paths and bool(placed_rules(self._rules.store, wanted.cleaned(), limit=1))
        if waiting and self._likely_files is not None and scope.workspace:
            likely = await self._likely_files(Path(scope.workspace), objective)
            wanted = replace(await self._scope(objective, scope, likely or ()), roles=roles)
        if memory.scope_gate and not waiting and not self._rules.in_scope(wanted.cleaned(), ("admitted",)):
            return None  # the common case, and not worth another thread
        found = await asyncio.to_thread(self._recall, objective, wanted, neuron)
        if found is not None and layer != 2:
            return replace(found, example=None)
        return found

    async def _scope(self, objective: str, scope: TaskScope, paths: Sequence[str]) -> MemoryScope:
        find = partial(
            scope_of,
            objective,
            workspace=scope.workspace,
            module=scope.module or None,
            family=scope.task_family or None,
            paths=paths,
        )
        # A folder is looked into, a long text searched; else another thread would cost more than the answer.
        elsewhere = scope.workspace or len(objective) > _LONG
        return await asyncio.to_thread(find) if elsewhere else find()

    def _recall(self, objective: str, wanted: MemoryScope, neuron: str) -> Recall | None:
        memory = self._settings().memory
        definition = self._definitions.get(neuron)
        mind = resolve_spec(definition.meta.model, self._settings().minds) if definition else ""
        policy = RecallPolicy(
            limit=memory.recall_limit,
            tokens=memory.recall_tokens,
            unplaced=1,
            min_similarity=memory.min_similarity,
            scope_gate=memory.scope_gate,
            without=not_followed_by(self._store, mind) if mind else frozenset(),
        )
        return together(recall_many(self._store, objective, wanted, policy))
