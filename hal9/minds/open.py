"""From a spec string to an open-able mind with retries, validation, budget and recording around it.

====================================== ===============================================================
spec                                   mind
====================================== ===============================================================
``local``                              the catalogue's default model, on this machine
``local:NAME`` / ``local:/FILE.gguf``  that model, on this machine
``openai:URL#MODEL``                   any OpenAI-compatible server; key from an environment variable
``litellm:PROVIDER/MODEL``             a hosted model through litellm; ``PROVIDER/MODEL`` alone means this
``agent:claude|gemini|codex``          a command-line agent
``replay:FILE``                        answers recorded earlier
``scripted:MODULE:ATTRIBUTE``          a test's script: a `ScriptedMind`, a list of replies, or a function
====================================== ===============================================================
"""

import difflib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hal9.budgets import BudgetStore
from hal9.errors.minds import UnknownMind
from hal9.minds.agents import AGENTS, AgentMind, AgentSettings
from hal9.minds.budgeted import BudgetedMind
from hal9.minds.chat.endpoint import Endpoint, is_private_address
from hal9.minds.chat.openai_mind import OpenAIMind
from hal9.minds.litellm_mind import LiteLLMMind
from hal9.minds.local.mind import LocalMind, LocalSettings
from hal9.minds.local.models import find_model, models
from hal9.minds.prices import Price
from hal9.minds.protocol import Capabilities, Mind, OnToken, Reply, Request
from hal9.minds.recording import RecordingMind, ReplayMind
from hal9.minds.retries import RetryingMind, RetryPolicy
from hal9.minds.scripted import ScriptedMind
from hal9.minds.tool_translation import ToolTranslatingMind
from hal9.minds.valid_replies import answer
from hal9.minds.wrapping import WrappingMind

__all__ = ["MindSettings", "ValidatingMind", "default_spec", "open_mind"]

KEYED_MODELS: tuple[tuple[str, str], ...] = (
    ("ANTHROPIC_API_KEY", "anthropic/claude-sonnet-5"),
    ("OPENAI_API_KEY", "openai/gpt-5.4-mini"),
    ("GEMINI_API_KEY", "gemini/gemini-flash-latest"),
    ("MISTRAL_API_KEY", "mistral/mistral-medium-latest"),
    ("GROQ_API_KEY", "groq/openai/gpt-oss-120b"),
    ("DEEPSEEK_API_KEY", "deepseek/deepseek-v4-flash"),
)
"""Which model a provider's key selects when the user names none; the first key found wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MindSettings:
    """What a spec string does not say.

    Attributes:
        environment: where keys are read from.
        key_variable: the environment variable that holds the key of an ``openai:`` server.
        prices: US dollars per million tokens by spec or model name, for models whose price nobody knows.
        local: how a local model is run.
        agent: how a command-line agent is run.
        retries: how passing failures are waited out.
        record_to: every exchange is appended to this file.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    key_variable: str = "OPENAI_API_KEY"
    prices: Mapping[str, Price] = field(default_factory=dict)
    local: LocalSettings = field(default_factory=LocalSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    record_to: Path | None = None


def default_spec(environment: Mapping[str, str] = os.environ) -> str:
    """The mind used when none is configured: HAL9_MODEL, else a provider whose key is set, else local."""
    chosen = environment.get("HAL9_MODEL", "").strip()
    if chosen:
        return chosen
    for variable, model in KEYED_MODELS:
        if environment.get(variable, "").strip():
            return f"litellm:{model}"
    return "local"


def open_mind(spec: str, *, settings: MindSettings | None = None, budget: BudgetStore | None = None) -> Mind:
    """Make the mind a spec names; open it with `async with`.

    From the inside out: the provider, tool calls where it has none of its own, recording, budget (each
    attempt is reserved and settled), retries, validation with resampling.

    Args:
        spec: see the module's table.
        settings: what the spec does not say.
        budget: the book every call is charged to; `Request.metadata["task_id"]` names the task.

    Raises:
        UnknownMind: the spec names nothing that exists; names the nearest.
        ModelUnknown: the catalogue has no such local model.
    """
    chosen = settings if settings is not None else MindSettings()
    mind: Mind = ToolTranslatingMind(_provider(spec.strip(), chosen))
    if chosen.record_to is not None:
        mind = RecordingMind(mind, chosen.record_to, secrets=_secrets(chosen.environment))
    if budget is not None:
        mind = BudgetedMind(mind, budget)
    return ValidatingMind(RetryingMind(mind, chosen.retries))


def _secrets(environment: Mapping[str, str]) -> list[str]:
    # Shorter values are no keys, and blotting them out would garble ordinary words.
    return [
        value
        for name, value in environment.items()
        if name.upper().endswith(("KEY", "TOKEN", "SECRET", "PASSWORD")) and len(value) >= 8
    ]


class ValidatingMind(WrappingMind):
    """A mind whose replies are valid, or an error."""

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        async def once(varied: Request, listener: OnToken | None) -> Reply:
            return await self._mind.think(varied, on_token=listener)

        return await answer(once, request, on_token, name=self.name)


def _provider(spec: str, settings: MindSettings) -> Mind:
    kind, colon, rest = spec.partition(":")
    makers: dict[str, Callable[[str, str, MindSettings], Mind]] = {
        "local": _local,
        "openai": _openai,
        "litellm": _litellm,
        "agent": _agent,
        "replay": _replay,
        "scripted": _scripted,
    }
    if kind in makers and (colon or kind == "local"):
        return makers[kind](spec, rest, settings)
    if "/" in kind and not kind.startswith((".", "/", "~")):
        return _litellm(spec, spec, settings)
    raise UnknownMind(spec=spec, why="it begins with no known kind", nearest=_nearest(spec))


def _nearest(spec: str) -> tuple[str, ...]:
    known = ["local", *(f"local:{model.name}" for model in models()), *(f"agent:{name}" for name in AGENTS)]
    known += [f"litellm:{model}" for _variable, model in KEYED_MODELS]
    known += ["openai:http://HOST:PORT/v1#MODEL", "replay:FILE", "scripted:MODULE:ATTRIBUTE"]
    return tuple(difflib.get_close_matches(spec, known, n=3, cutoff=0.4)) or (
        "local",
        "litellm:PROVIDER/MODEL",
    )


def _local(_spec: str, rest: str, settings: MindSettings) -> Mind:
    if rest and not rest.endswith(".gguf") and "/" not in rest:
        find_model(rest)
    return LocalMind(replace(settings.local, model=rest) if rest else settings.local)


def _openai(spec: str, rest: str, settings: MindSettings) -> Mind:
    url, hash_sign, model = rest.partition("#")
    if not url.startswith(("http://", "https://")) or not hash_sign or not model:
        raise UnknownMind(
            spec=spec, why="it needs an address and a model", nearest=("openai:http://HOST:PORT/v1#MODEL",)
        )
    return OpenAIMind(
        Endpoint(
            mind=spec,
            base_url=url.rstrip("/"),
            model=model,
            key=settings.environment.get(settings.key_variable),
            key_variable=settings.key_variable,
            price=_price_of(settings, spec, model, free=is_private_address(url)),
        )
    )


def _litellm(spec: str, rest: str, settings: MindSettings) -> Mind:
    if not rest.strip("/"):
        raise UnknownMind(spec=spec, why="it names no model", nearest=("litellm:PROVIDER/MODEL",))
    own_address = _address_of(rest.split("/", 1)[0], settings.environment)
    free = own_address is not None and is_private_address(own_address)
    return LiteLLMMind(rest, price=_price_of(settings, spec, rest, free=free))


def _price_of(settings: MindSettings, spec: str, model: str, *, free: bool) -> Price | None:
    """The configured price; a model on this machine or in its network costs nothing unless it is priced."""
    found = settings.prices.get(spec, settings.prices.get(model))
    return Price(0.0, 0.0) if found is None and free else found


_OWN_SERVERS: dict[str, tuple[str, str]] = {
    "ollama": ("OLLAMA_API_BASE", "http://localhost:11434"),
    "ollama_chat": ("OLLAMA_API_BASE", "http://localhost:11434"),
    "lm_studio": ("LM_STUDIO_API_BASE", "http://localhost:1234"),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE", "http://localhost:8000"),
    "llamafile": ("LLAMAFILE_API_BASE", "http://127.0.0.1:8080"),
    "docker_model_runner": ("DOCKER_MODEL_RUNNER_API_BASE", "http://localhost:22088"),
}
"""Providers of litellm's that are servers of one's own: the variable with the address, and the usual one."""


def _address_of(provider: str, environment: Mapping[str, str]) -> str | None:
    if provider not in _OWN_SERVERS:
        return None
    variable, usual = _OWN_SERVERS[provider]
    return environment.get(variable, "").strip() or usual


def _agent(spec: str, rest: str, settings: MindSettings) -> Mind:
    if rest not in AGENTS:
        near = difflib.get_close_matches(rest, AGENTS, n=1, cutoff=0.0)
        raise UnknownMind(
            spec=spec, why="there is no such agent", nearest=tuple(f"agent:{name}" for name in near)
        )
    price = _price_of(settings, spec, rest, free=False)
    return AgentMind(AGENTS[rest], replace(settings.agent, price=price))


def _replay(spec: str, rest: str, _settings: MindSettings) -> Mind:
    if not Path(rest).is_file():
        raise UnknownMind(spec=spec, why=f"there is no file {rest!r}", nearest=("replay:FILE",))
    return ReplayMind(Path(rest))


def _scripted(spec: str, rest: str, _settings: MindSettings) -> Mind:
    module_name, _colon, attribute = rest.partition(":")
    try:
        script: Any = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownMind(spec=spec, why=str(error), nearest=("scripted:MODULE:ATTRIBUTE",)) from error
    if isinstance(script, ScriptedMind):
        return script.unvalidated()
    if callable(script) or isinstance(script, (list, tuple)):
        # A script that says nothing about tools writes text, as every mind can.
        can = getattr(script, "capabilities", Capabilities())
        return ScriptedMind(script, name=spec, capabilities=can).unvalidated()
    raise UnknownMind(
        spec=spec,
        why=f"{attribute} is a {type(script).__name__}, not a ScriptedMind, a list or a function",
        nearest=("scripted:MODULE:ATTRIBUTE",),
    )
