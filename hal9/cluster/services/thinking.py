"""Model calls for all neurons of a process: one open mind per spec, a shared limit, every call budgeted."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hal9.budgets import BudgetStore, Limit
from hal9.minds import MindSettings as OpenSettings
from hal9.minds import default_spec, open_mind
from hal9.minds.agents import AgentSettings
from hal9.minds.local.mind import LocalSettings
from hal9.minds.prices import Price
from hal9.minds.protocol import Capabilities, Mind, OnToken, Reply, Request
from hal9.minds.retries import RetryPolicy
from hal9.neurons.interfaces import CallContext
from hal9.settings import CapSettings, MindSettings, Settings
from hal9.signals import Grant

__all__ = ["MindPool", "budget_limits", "open_settings", "resolve_spec"]


def budget_limits(settings: Settings) -> tuple[Limit, ...]:
    """The budgets of the settings as limits."""
    found: list[Limit] = []
    caps: tuple[tuple[str, CapSettings], ...] = (
        ("task", settings.budgets.task),
        ("hour", settings.budgets.hour),
        ("day", settings.budgets.day),
    )
    for scope, cap in caps:
        for kind in ("tokens", "usd", "seconds"):
            value = getattr(cap, kind)
            if value is not None:
                found.append(Limit(kind=kind, scope=scope, value=float(value)))  # type: ignore[arg-type]
    return tuple(found)


def resolve_spec(spec: str, settings: MindSettings) -> str:
    """What a neuron's `model` really names."""
    chosen = settings.default if spec == "default" else spec
    return default_spec() if chosen == "auto" else chosen


def open_settings(minds: MindSettings) -> OpenSettings:
    """What opening a mind needs to know beside its spec."""
    return OpenSettings(
        key_variable=minds.key_variable,
        prices={
            name: Price(prompt_usd=price.prompt_usd, completion_usd=price.completion_usd)
            for name, price in minds.prices.items()
        },
        local=LocalSettings(
            threads=minds.threads,
            context_tokens=minds.context_tokens,
            parallel=minds.concurrent_calls,
        ),
        agent=AgentSettings(
            model=minds.agent_model,
            usd_per_call=minds.agent_usd_per_call,
            tokens_per_call=minds.agent_tokens_per_call,
            variables=tuple(minds.agent_variables),
        ),
        retries=RetryPolicy(attempts=minds.attempts),
        record_to=Path(minds.record_to).expanduser() if minds.record_to else None,
    )


class MindPool:
    """A `ModelClient` over real minds. Minds open on first use and close with the pool."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        book: BudgetStore,
    ) -> None:
        self._settings = settings
        self._book = book
        self._granted: set[str] = set()
        self._stack = AsyncExitStack()
        self._minds: dict[str, Mind] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._calls = asyncio.Semaphore(settings().minds.concurrent_calls)

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._minds.clear()
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def mind(self, spec: str) -> Mind:
        """The open mind for a spec.

        Raises:
            MindError: it cannot be opened; names the remedy.
        """
        resolved = resolve_spec(spec, self._settings().minds)
        found = self._minds.get(resolved)
        if found is not None:
            return found
        async with self._opening.setdefault(resolved, asyncio.Lock()):
            if resolved not in self._minds:
                mind = open_mind(resolved, settings=open_settings(self._settings().minds), budget=self._book)
                self._minds[resolved] = await self._stack.enter_async_context(mind)
        return self._minds[resolved]

    async def think(
        self, model: str, request: Request, *, call: CallContext, on_token: OnToken | None = None
    ) -> Reply:
        """Ask, within the budgets of the home and of the task.

        Raises:
            LimitError: a budget does not allow the call.
            MindError: the mind failed.
        """
        mind = await self.mind(model)
        self.grant(call.task_id, call.grant)
        charged = replace(
            request, metadata={**request.metadata, "task_id": call.task_id, "neuron": call.neuron}
        )
        async with self._calls:
            return await mind.think(charged, on_token=on_token)

    async def capabilities(self, model: str) -> Capabilities:
        """What the mind of a spec can do by itself.

        Raises:
            MindError: it cannot be opened; names the remedy.
        """
        return (await self.mind(model)).capabilities

    def window(self, model: str) -> int:
        """Tokens of prompt and reply together: the local model's context, else as the settings say."""
        settings = self._settings()
        spec = resolve_spec(model, settings.minds)
        return settings.minds.context_tokens if spec.startswith("local:") else settings.tools.context_tokens

    def grant(self, task_id: str, grant: Grant) -> None:
        """Put a task's own caps on the books, once."""
        if task_id in self._granted:
            return
        self._granted.add(task_id)
        limits = []
        if grant.tokens is not None:
            limits.append(Limit(kind="tokens", scope="task", value=float(grant.tokens)))
        if grant.usd is not None:
            limits.append(Limit(kind="usd", scope="task", value=grant.usd))
        if limits:
            self._book.limit_task(task_id, limits)
