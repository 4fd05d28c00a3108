"""Command-line agents as minds: the prompt goes in by standard input, the answer comes out as JSON.

An agent runs in a process group of its own, which is killed as a whole when time is over or the call is
cancelled, and in an empty folder unless one is given. Its version is asked once and logged.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from hal9.errors.minds import AgentFailed, AgentMissing, GrammarUnsupported, MindReplyInvalid, MindTimeout
from hal9.minds.prices import Quote, bound_tokens
from hal9.minds.protocol import Capabilities, Message, OnToken, Reply, Request, Usage
from hal9.minds.schema import schema_instruction
from hal9.processes import end_group
from hal9.text import first_line, split_lines

__all__ = ["AGENTS", "Agent", "AgentMind", "AgentSettings"]

_LOG = logging.getLogger(__name__)
_MAX_OUTPUT_BYTES = 16_000_000
_GRACE_SECONDS = 2.0
_VERSION_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How command-line agents are run.

    Attributes:
        model: passed to the agent's ``--model``; empty for the agent's own default.
        folder: the agent's working directory; None for a fresh empty one for each call.
        usd_per_call: the most one call may cost. Needed when a usd budget is set, because agents quote no
            price; agents that know such a cap (claude) are given it.
        environment: searched for the executable (PATH) and handed to it.
    """

    model: str = ""
    folder: Path | None = None
    usd_per_call: float | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent printed."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent's command line: how it is called and how its output is read.

    `read` raises ValueError or KeyError for output it does not know and `AgentSaid` for an error the agent
    tells of.
    """

    name: str
    arguments: Callable[[AgentSettings], Sequence[str]]
    read: Callable[[str], Answer]


class AgentSaid(Exception):
    """The agent ran, and reports that it failed."""


def _claude_arguments(settings: AgentSettings) -> list[str]:
    arguments = ["--print", "--output-format", "json", "--no-session-persistence"]
    if settings.model:
        arguments += ["--model", settings.model]
    if settings.usd_per_call is not None:
        arguments += ["--max-budget-usd", f"{settings.usd_per_call:g}"]
    return arguments


def _read_claude(output: str) -> Answer:
    data = json.loads(output)
    if data.get("is_error") or data.get("subtype", "success") != "success":
        raise AgentSaid(str(data.get("result") or data.get("subtype") or "an error without a text"))
    usage = data.get("usage") or {}
    cached = int(usage.get("cache_read_input_tokens") or 0)
    prompt = usage.get("input_tokens")
    if prompt is not None:
        prompt = int(prompt) + cached + int(usage.get("cache_creation_input_tokens") or 0)
    cost = data.get("total_cost_usd")
    return Answer(
        text=str(data["result"]),
        prompt_tokens=prompt,
        completion_tokens=usage.get("output_tokens"),
        cached_tokens=cached,
        usd=float(cost) if cost is not None else None,
    )


def _gemini_arguments(settings: AgentSettings) -> list[str]:
    return ["--output-format", "json", *(["--model", settings.model] if settings.model else [])]


def _read_gemini(output: str) -> Answer:
    data = json.loads(output)
    if data.get("error"):
        error = data["error"]
        raise AgentSaid(str(error.get("message", error) if isinstance(error, dict) else error))
    models = (data.get("stats") or {}).get("models") or {}
    tokens = [model.get("tokens") or {} for model in models.values()]
    return Answer(
        text=str(data["response"]),
        prompt_tokens=_sum(tokens, "prompt"),
        completion_tokens=_sum(tokens, "candidates", "thoughts"),
        cached_tokens=_sum(tokens, "cached") or 0,
    )


def _sum(counts: Iterable[Mapping[str, Any]], *keys: str) -> int | None:
    found = [int(count[key]) for count in counts for key in keys if count.get(key) is not None]
    return sum(found) if found else None


def _codex_arguments(settings: AgentSettings) -> list[str]:
    model = ["--model", settings.model] if settings.model else []
    return ["exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only", *model, "-"]


def _read_codex(output: str) -> Answer:
    text: str | None = None
    usages: list[Mapping[str, Any]] = []
    failure: str | None = None
    for line in split_lines(output):
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        kind, item = event.get("type"), event.get("item") or {}
        if kind == "item.completed" and item.get("type") == "agent_message":
            text = str(item["text"])
        elif kind == "turn.completed":
            usages.append(event.get("usage") or {})
        elif kind in {"turn.failed", "error"}:
            error = event.get("error") or event
            failure = str(error.get("message", error) if isinstance(error, dict) else error)
    if text is None:
        if failure is not None:
            raise AgentSaid(failure)
        raise KeyError("agent_message")
    return Answer(
        text=text,
        prompt_tokens=_sum(usages, "input_tokens"),
        completion_tokens=_sum(usages, "output_tokens"),
        cached_tokens=_sum(usages, "cached_input_tokens") or 0,
    )


AGENTS: dict[str, Agent] = {
    "claude": Agent("claude", _claude_arguments, _read_claude),
    "gemini": Agent("gemini", _gemini_arguments, _read_gemini),
    "codex": Agent("codex", _codex_arguments, _read_codex),
}


class AgentMind:
    """One command-line agent. Temperature, seed and stop are not theirs to take and are left out."""

    def __init__(self, agent: Agent, settings: AgentSettings | None = None) -> None:
        self._agent = agent
        self._settings = settings if settings is not None else AgentSettings()
        self._executable = ""
        self.version = ""

    @property
    def name(self) -> str:
        return f"agent:{self._agent.name}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="text")

    async def __aenter__(self) -> Self:
        """Find the executable and ask for its version.

        Raises:
            AgentMissing: it is not on PATH.
            AgentFailed: it does not tell its version.
        """
        found = shutil.which(self._agent.name, path=self._settings.environment.get("PATH"))
        if found is None:
            raise AgentMissing(agent=self._agent.name, executable=self._agent.name)
        self._executable = found
        status, output, complaint = await self._run(["--version"], "", _VERSION_SECONDS)
        if status != 0:
            raise AgentFailed(agent=self.name, exit_status=status, detail=_tail(complaint or output))
        self.version = first_line(output) or "unknown"
        _LOG.info("%s is %s, version %s", self.name, found, self.version)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def quote(self, request: Request) -> Quote:
        """One token a byte plus `max_tokens` (which agents do not enforce), and the configured dollars."""
        prompt = _prompt(request)
        return Quote(
            tokens=bound_tokens((Message("user", prompt),)) + request.max_tokens,
            usd=self._settings.usd_per_call,
        )

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Run the agent once; `on_token` gets the whole text at the end.

        Raises:
            AgentFailed: it ended with an error, or says that it failed.
            MindTimeout: it did not end in time; its process group was killed.
            MindReplyInvalid: it ended well but its output is not what it should be.
        """
        if request.grammar is not None:
            raise GrammarUnsupported(mind=self.name)
        prompt = _prompt(request)
        began = time.monotonic()
        status, output, complaint = await self._run(
            self._agent.arguments(self._settings), prompt, request.timeout_seconds
        )
        try:
            said = self._agent.read(output)
        except AgentSaid as error:
            raise AgentFailed(agent=self.name, exit_status=status, detail=_tail(str(error))) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if status != 0:
                detail = _tail(complaint or output)
                raise AgentFailed(agent=self.name, exit_status=status, detail=detail) from error
            raise MindReplyInvalid(
                mind=self.name, reason=f"its output cannot be read ({error!r})", text=output[:2000]
            ) from error
        if status != 0:
            raise AgentFailed(agent=self.name, exit_status=status, detail=_tail(complaint or output))
        if on_token is not None:
            on_token(said.text)
        usage = self._usage(said, prompt, time.monotonic() - began)
        _LOG.info("%s (%s): %s", self.name, self.version, usage)
        return Reply(text=said.text, mind=self.name, usage=usage)

    def _usage(self, said: Answer, prompt: str, seconds: float) -> Usage:
        estimated = said.prompt_tokens is None or said.completion_tokens is None
        return Usage(
            prompt_tokens=said.prompt_tokens
            if said.prompt_tokens is not None
            else bound_tokens((Message("user", prompt),)),
            completion_tokens=said.completion_tokens
            if said.completion_tokens is not None
            else len(said.text.encode()),
            cached_tokens=said.cached_tokens,
            usd=said.usd,
            seconds=seconds,
            estimated=estimated,
        )

    async def _run(self, arguments: Sequence[str], text: str, timeout_seconds: float) -> tuple[int, str, str]:
        async with self._folder() as folder:
            process = await asyncio.create_subprocess_exec(
                self._executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env=dict(self._settings.environment),
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout_seconds):
                    output, complaint = await _exchange(process, text)
                    status = await process.wait()
            except TimeoutError as error:
                raise MindTimeout(mind=self.name, seconds=timeout_seconds) from error
            except _TooMuch as error:
                detail = f"it printed more than {_MAX_OUTPUT_BYTES / 1e6:.0f} MB"
                raise AgentFailed(agent=self.name, exit_status=-1, detail=detail) from error
            finally:
                # Also after a good end: what the agent left running in its group must not outlive the call.
                await end_group(process, grace_seconds=_GRACE_SECONDS)
        return status, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")

    @contextlib.asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        if self._settings.folder is not None:
            yield self._settings.folder
            return
        with tempfile.TemporaryDirectory(prefix="hal9-agent-") as folder:
            yield Path(folder)


class _TooMuch(Exception):
    """An agent's output passed the cap."""


async def _exchange(process: asyncio.subprocess.Process, text: str) -> tuple[bytes, bytes]:
    stdin = cast("asyncio.StreamWriter", process.stdin)
    stdout, stderr = (
        cast("asyncio.StreamReader", process.stdout),
        cast("asyncio.StreamReader", process.stderr),
    )

    async def send() -> None:
        # An agent may end without reading its prompt; its exit status then tells why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(text.encode())
            await stdin.drain()
        stdin.close()

    _nothing, output, complaint = await asyncio.gather(send(), _read_capped(stdout), _read_capped(stderr))
    return output, complaint


async def _read_capped(stream: asyncio.StreamReader) -> bytes:
    pieces = bytearray()
    while piece := await stream.read(65536):
        pieces += piece
        if len(pieces) > _MAX_OUTPUT_BYTES:
            raise _TooMuch
    return bytes(pieces)


def _prompt(request: Request) -> str:
    """All turns as one text; an agent takes a single prompt."""
    titles = {"system": "Instructions", "user": "Request", "assistant": "Earlier answer", "tool": "Result"}
    messages = list(request.messages)
    if request.schema is not None:
        messages.append(Message("user", schema_instruction(request.schema)))
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"# {titles[message.role]}\n\n{message.content}" for message in messages)


def _tail(text: str) -> str:
    lines = [line.strip() for line in split_lines(text) if line.strip()]
    return " | ".join(lines[-4:])[-500:] or "it said nothing"
