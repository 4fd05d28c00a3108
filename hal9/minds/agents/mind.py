"""A command-line agent as a mind: the prompt goes in by standard input, events come out as JSON.

An agent runs in a process group of its own, which is killed as a whole when time is over, the call is
cancelled, or this process is gone (by the sandbox, or by a keeper where there is none). Where a workspace's
copy is given it works there, inside the sandbox where there is one; otherwise in an empty folder. It gets the
variables it needs and no other key. Its version is asked once and logged.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from hal9.errors.minds import AgentFailed, AgentMissing, GrammarUnsupported, MindReplyInvalid, MindTimeout
from hal9.minds.agents import keeper
from hal9.minds.agents.claude import CLAUDE
from hal9.minds.agents.codex import CODEX
from hal9.minds.agents.gemini import GEMINI
from hal9.minds.agents.program import Agent, AgentSaid, AgentSettings, Answer, Call
from hal9.minds.prices import Quote, bound_tokens
from hal9.minds.protocol import Capabilities, Message, OnToken, Reply, Request, Usage, Workplace
from hal9.minds.schema import schema_instruction
from hal9.processes import end_group
from hal9.text import first_line, split_lines, without_surrogates

__all__ = ["AGENTS", "AgentMind"]

_LOG = logging.getLogger(__name__)
_MAX_OUTPUT_BYTES = 64_000_000
_GRACE_SECONDS = 2.0
_VERSION_SECONDS = 20.0
_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_", "TERM", "TZ", "TMPDIR", "XDG_",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "all_proxy", "SSL_CERT_", "NODE_EXTRA_CA_CERTS", "NODE_PATH", "NVM_", "VOLTA_", "FNM_",
)  # fmt: skip

AGENTS: dict[str, Agent] = {agent.name: agent for agent in (CLAUDE, GEMINI, CODEX)}


class AgentMind:
    """One command-line agent. Temperature, seed and stop are not theirs to take and are left out."""

    def __init__(self, agent: Agent, settings: AgentSettings | None = None) -> None:
        self._agent = agent
        self._settings = settings if settings is not None else AgentSettings()
        self._executable = ""
        self._program = ""
        self.version = ""

    @property
    def name(self) -> str:
        return f"agent:{self._agent.name}"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="text", acts=True)

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
        self._program = await asyncio.to_thread(os.path.realpath, found)
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
        """The configured tokens and dollars of a call that acts; else a token a byte plus `max_tokens`."""
        prompt = bound_tokens((Message("user", _prompt(request)),))
        acts = request.workplace is not None
        most = max(self._settings.tokens_per_call, request.max_tokens) if acts else request.max_tokens
        return Quote(tokens=prompt + most, usd=self._most_usd(prompt, most))

    def _most_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        price, cap = self._settings.price, self._settings.usd_per_call
        if price is None:
            return cap
        priced = price.of(prompt_tokens, completion_tokens)
        return priced if cap is None else min(priced, cap)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Run the agent once; `on_token` gets the whole text at the end.

        Raises:
            AgentFailed: it ended with an error, or says that it failed.
            MindTimeout: it did not end in time; its process group was killed.
            MindReplyInvalid: it ended well but its output is not what it should be.
        """
        if request.grammar is not None:
            raise GrammarUnsupported(mind=self.name)
        prompt, place = _prompt(request), request.workplace
        confined = place is not None and place.confined
        call = Call(self._settings, acts=place is not None, confined=confined)
        began = time.monotonic()
        arguments = self._agent.arguments(call)
        status, output, complaint = await self._run(arguments, prompt, request.timeout_seconds, place)
        seconds = time.monotonic() - began
        try:
            said = self._agent.read(output)
        except AgentSaid as error:
            failure = AgentFailed(agent=self.name, exit_status=status, detail=_tail(str(error)))
            if error.answer is not None and error.answer.prompt_tokens is not None:
                failure.usage = self._usage(error.answer, prompt, seconds)
            raise failure from error
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
        usage = self._usage(said, prompt, seconds)
        _LOG.info("%s (%s): %s", self.name, self.version, usage)
        return Reply(
            text=said.text,
            mind=self.name,
            usage=usage,
            stop_reason="length" if said.cut else "stop",
            acts=said.acts,
        )

    def _usage(self, said: Answer, prompt: str, seconds: float) -> Usage:
        estimated = said.prompt_tokens is None or said.completion_tokens is None
        asked = said.prompt_tokens
        if asked is None:
            asked = bound_tokens((Message("user", prompt),))
        answered = said.completion_tokens
        if answered is None:
            answered = len(said.text.encode())
        price = self._settings.price
        usd = price.of(asked, answered) if price is not None else said.usd
        return Usage(
            prompt_tokens=asked,
            completion_tokens=answered,
            cached_tokens=said.cached_tokens,
            # What nobody knows is charged at its most, else a usd budget would never fill.
            usd=usd if usd is not None else self._settings.usd_per_call,
            seconds=seconds,
            estimated=estimated,
        )

    async def _run(
        self, arguments: Sequence[str], text: str, timeout_seconds: float, place: Workplace | None = None
    ) -> tuple[int, str, str]:
        confined = place is not None and place.confined
        async with self._folder(place) as folder:
            argv = [self._executable, *arguments]
            if place is not None and confined:
                # A link in the user's own bin folder is not seen in there.
                argv[0] = self._program
                argv = await place.confine(argv, readable=self._readable(), writable=self._writable())
            with _Lifeline() as line:
                if not confined:
                    argv = [sys.executable, "-I", keeper.__file__, str(line.reading), *argv]
                variables = self._variables(confined=confined)
                process = await _start(argv, folder, variables, handed=() if confined else (line.reading,))
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
                    # Also after a good end: what the agent left running must not outlive the call.
                    await _end(process, line, kept=not confined)
        return status, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")

    def _variables(self, *, confined: bool) -> dict[str, str]:
        """Only what the agent needs: the keys of other providers are none of its business."""
        wanted = (*_PASSED, *self._agent.passed)
        kept = {
            name: value
            for name, value in self._settings.environment.items()
            if name.startswith(wanted) or name in self._settings.variables
        }
        # An agent within an agent takes itself for a part of the outer one.
        kept.pop("CLAUDECODE", None)
        more = self._agent.confined_variables if confined else {}
        return {**kept, **self._agent.variables, **more}

    def _readable(self) -> list[Path]:
        """Where the agent's program and the interpreter it runs in are installed."""
        found = [_installed_at(Path(self._executable))]
        node = shutil.which("node", path=self._settings.environment.get("PATH"))
        if node is not None:
            found.append(Path(os.path.realpath(node)))
        return found

    def _writable(self) -> list[Path]:
        """Its settings and its login, where they are; no other part of the home folder."""
        home = Path(self._settings.environment.get("HOME", "~")).expanduser()
        moved = self._settings.environment.get(self._agent.home_variable, "")
        places = [home / name for name in self._agent.homes]
        return [place for place in (*places, *([Path(moved)] if moved else [])) if place.exists()]

    @contextlib.asynccontextmanager
    async def _folder(self, place: Workplace | None) -> AsyncIterator[Path]:
        if place is not None:
            yield place.folder
        elif self._settings.folder is not None:
            yield self._settings.folder
        else:
            with tempfile.TemporaryDirectory(prefix="hal9-agent-") as folder:
                yield Path(folder)


def _installed_at(program: Path) -> Path:
    """All of a program: the packages it is one of, or its file alone; never a folder of the user's own."""
    real = Path(os.path.realpath(program))
    parts = real.parts
    return Path(*parts[: parts.index("node_modules") + 1]) if "node_modules" in parts else real


async def _start(
    argv: Sequence[str], folder: Path, variables: Mapping[str, str], *, handed: Sequence[int]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=variables,
        pass_fds=handed,
        start_new_session=True,
    )


class _Lifeline:
    """A pipe that nobody writes into: its reading end sees when this process is gone, or `cut` is called."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        os.close(self.reading)

    def cut(self) -> None:
        """End it."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


async def _end(process: asyncio.subprocess.Process, line: _Lifeline, *, kept: bool) -> None:
    """End an agent and what it left running: politely for a moment, then for certain."""
    if kept:
        with contextlib.suppress(ProcessLookupError, PermissionError, TimeoutError):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
                async with asyncio.timeout(_GRACE_SECONDS):
                    await process.wait()
        line.cut()  # the keeper kills what is below it, also what left the group
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
    await end_group(process, grace_seconds=0.1 if kept else _GRACE_SECONDS)


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
            stdin.write(without_surrogates(text).encode())
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
