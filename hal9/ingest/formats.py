"""Records of agents' programs as runs: one reader per format, each over plain JSON values.

Formats as of November 2025: mini-swe-agent 1.x trajectories, session files of Claude Code 2.x and of Codex
CLI 0.4x to 0.6x, OpenHands 0.x event lists. Unknown fields are ignored, records that do not fit are skipped.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hal9.ingest.records import Run, RunStep

__all__ = ["FORMATS", "RunFormat", "format_of"]

Record = Mapping[str, Any]

_BASH = re.compile(r"```(?:bash|sh|mswea_bash_command)\s*\n(.*?)\n```", re.DOTALL)
_RETURN_CODE = re.compile(r"<returncode>\s*(-?\d+)\s*</returncode>")
_OUTPUT = re.compile(r"<output(?:_head)?>\n?(.*)</output(?:_tail)?>", re.DOTALL)
_EXIT_CODE = re.compile(r"\A(?:Error: )?(?:Exit code|Process exited with code)[: ]+(-?\d+)\n?", re.IGNORECASE)
_EXIT_ANYWHERE = re.compile(
    r"^(?:Exit code|Process exited with code)[: ]+(-?\d+)\s*$", re.MULTILINE | re.IGNORECASE
)
_NOT_RUN = re.compile(
    r"user doesn't want to proceed|requested permissions? to|hook (?:error|blocked)|denied by"
    r"|tool use was rejected|exactly one action",
    re.IGNORECASE,
)
_SHELLS = frozenset({"bash", "sh", "zsh", "/bin/bash", "/bin/sh"})


@dataclass(frozen=True, slots=True)
class RunFormat:
    """A format: how to recognise a record of it, and how records become runs."""

    name: str
    fits: Callable[[Record], bool]
    runs: Callable[[Sequence[Record], str], list[Run]]


@dataclass(slots=True)
class _Steps:
    """Calls in order, completed by their results."""

    steps: list[RunStep] = field(default_factory=list)
    _open: dict[str, int] = field(default_factory=dict)

    def call(self, key: str, step: RunStep) -> None:
        self._open[key] = len(self.steps)
        self.steps.append(step)

    def result(self, key: str, *, output: str, exit_code: int | None, executed: bool = True) -> None:
        index = self._open.pop(key, None)
        if index is None:
            return
        self.steps[index] = replace(
            self.steps[index], exit_code=exit_code if executed else None, output=output, executed=executed
        )


def text_of(content: Any) -> str:
    """Text out of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part if isinstance(part, str) else str(part.get("text") or "") for part in content if part]
        return "\n".join(parts)
    return "" if content is None else str(content)


def _mapping(value: Any) -> Record:
    return value if isinstance(value, Mapping) else {}


def _command(value: Any) -> str:
    """A command that is a string, or a list such as ``["bash", "-lc", "pytest"]``."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        words = [str(word) for word in value]
        if len(words) == 3 and words[0] in _SHELLS and words[1].startswith("-"):
            return words[2]
        return " ".join(words)
    return "" if value is None else str(value)


# --- mini-swe-agent ---------------------------------------------------------------------------------


def _mini_swe(records: Sequence[Record], name: str) -> list[Run]:
    found = []
    for number, record in enumerate(records):
        messages = [_mapping(one) for one in record.get("messages", [])]
        steps: list[RunStep] = []
        asked = ""
        for message in messages:
            content = text_of(message.get("content"))
            if message.get("role") == "assistant":
                blocks = _BASH.findall(content)
                steps.append(RunStep(command=blocks[0] if blocks else "", executed=len(blocks) == 1))
            elif message.get("role") == "user" and steps:
                steps[-1] = _observed(steps[-1], content)
            elif message.get("role") == "user" and not asked:
                asked = content
        instance = str(record.get("instance_id") or f"{name}:{number}")
        found.append(
            Run(
                id=instance,
                repo=_repository_of(instance),
                root="/testbed" if "__" in instance else "",
                task=asked,
                agent="mini-swe-agent",
                steps=tuple(step for step in steps if step.command),
            )
        )
    return found


def _observed(step: RunStep, content: str) -> RunStep:
    code, output = _RETURN_CODE.search(content), _OUTPUT.search(content)
    return RunStep(
        command=step.command,
        exit_code=int(code.group(1)) if code else None,
        output=output.group(1) if output else content,
        executed=step.executed and (code is not None or _NOT_RUN.search(content) is None),
    )


def _repository_of(instance: str) -> str:
    """``django__django-11099`` is an instance of django/django."""
    owner, _, rest = instance.partition("__")
    return f"{owner}/{rest.rsplit('-', 1)[0]}" if rest else ""


# --- Claude Code ------------------------------------------------------------------------------------


def _claude(records: Sequence[Record], name: str) -> list[Run]:
    by_session: dict[str, list[Record]] = {}
    for record in records:
        if record.get("type") in ("user", "assistant"):
            by_session.setdefault(str(record.get("sessionId") or name), []).append(record)
    return [_claude_session(session, rows) for session, rows in by_session.items()]


def _claude_session(session: str, records: Iterable[Record]) -> Run:
    steps, asked, root = _Steps(), "", ""
    for record in records:
        root = root or str(record.get("cwd") or "")
        content = _mapping(record.get("message")).get("content")
        if isinstance(content, str):
            asked = asked or content
            continue
        for part in content if isinstance(content, Sequence) else ():
            block = _mapping(part)
            if block.get("type") == "tool_use":
                call_id = str(block.get("id") or "")
                step = _claude_step(str(block.get("name")), _mapping(block.get("input")))
                steps.call(call_id, replace(step, call_id=call_id))
            elif block.get("type") == "tool_result":
                steps.result(str(block.get("tool_use_id")), **_claude_result(block))
            elif block.get("type") == "text" and record.get("type") == "user":
                asked = asked or str(block.get("text") or "")
    return Run(id=session, repo=root, root=root, task=asked, agent="claude-code", steps=tuple(steps.steps))


def _claude_step(tool: str, given: Record) -> RunStep:
    if tool == "Bash":
        return RunStep(command=str(given.get("command") or ""), arguments=dict(given))
    path = str(given.get("file_path") or given.get("path") or given.get("notebook_path") or "")
    text = str(given.get("content") or given.get("new_string") or "")
    return RunStep(tool=tool, arguments=dict(given), path=path, text=text)


def _claude_result(block: Record) -> dict[str, Any]:
    output = text_of(block.get("content"))
    failed = bool(block.get("is_error"))
    stated = _EXIT_CODE.match(output)
    if failed and _NOT_RUN.search(output) and not stated:
        return {"output": output, "exit_code": None, "executed": False}
    code = int(stated.group(1)) if stated and failed else int(failed)
    return {"output": output, "exit_code": code}


# --- Codex ------------------------------------------------------------------------------------------


def _codex(records: Sequence[Record], name: str) -> list[Run]:
    steps, asked, root, session = _Steps(), "", "", name
    for record in records:
        payload = _mapping(record.get("payload", record))
        kind = payload.get("type")
        if record.get("type") == "session_meta":
            session, root = str(payload.get("id") or name), str(payload.get("cwd") or root)
        elif kind == "message" and payload.get("role") == "user" and not asked:
            text = text_of(payload.get("content"))
            asked = "" if text.lstrip().startswith("<") else text  # the program's own context comes first
        elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
            call_id = str(payload.get("call_id") or "")
            steps.call(call_id, replace(_codex_step(payload), call_id=call_id))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            steps.result(str(payload.get("call_id")), **_codex_result(payload.get("output")))
    return [Run(id=session, repo=root, root=root, task=asked, agent="codex", steps=tuple(steps.steps))]


def _codex_step(payload: Record) -> RunStep:
    tool = str(payload.get("name") or "shell")
    given: Any = payload.get("arguments") or payload.get("input") or payload.get("action") or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return RunStep(tool=tool, text=given)
    given = _mapping(given)
    command = _command(given.get("command") or given.get("cmd"))
    if command:
        return RunStep(command=command, arguments=dict(given))
    return RunStep(tool=tool, arguments=dict(given), path=str(given.get("path") or ""))


def _codex_result(output: Any) -> dict[str, Any]:
    if isinstance(output, str) and output.lstrip().startswith("{"):
        try:
            output = json.loads(output)
        except ValueError:
            return {"output": str(output), "exit_code": None}
    if isinstance(output, Mapping):
        code = _mapping(output.get("metadata")).get("exit_code")
        text = text_of(output.get("output") or output.get("content"))
        return {"output": text, "exit_code": code if isinstance(code, int) else None}
    text = text_of(output)
    stated = _EXIT_ANYWHERE.search(text)
    return {"output": text, "exit_code": int(stated.group(1)) if stated else None}


# --- OpenHands --------------------------------------------------------------------------------------


def _openhands(records: Sequence[Record], name: str) -> list[Run]:
    steps, asked = _Steps(), ""
    for record in records:
        given, extras = _mapping(record.get("args")), _mapping(record.get("extras"))
        action = record.get("action")
        if action == "message" and record.get("source") == "user":
            asked = asked or str(given.get("content") or "")
        elif action == "run":
            steps.call(str(record.get("id")), RunStep(command=str(given.get("command") or "")))
        elif action in ("edit", "write", "read", "run_ipython"):
            text = str(
                given.get("content")
                or given.get("file_text")
                or given.get("new_str")
                or given.get("code")
                or ""
            )
            steps.call(
                str(record.get("id")), RunStep(tool=str(action), path=str(given.get("path") or ""), text=text)
            )
        elif record.get("observation"):
            code = _mapping(extras.get("metadata")).get("exit_code", extras.get("exit_code"))
            failed = record["observation"] == "error"
            steps.result(
                str(record.get("cause")),
                output=str(record.get("content") or ""),
                exit_code=code if isinstance(code, int) else int(failed),
                executed=record["observation"] != "user_rejected",
            )
    return [Run(id=name, task=asked, agent="openhands", steps=tuple(steps.steps))]


# --- plain lines ------------------------------------------------------------------------------------


def _plain(records: Sequence[Record], name: str) -> list[Run]:
    """One step a line: run, repo, step, command, exit, output."""
    by_run: dict[str, list[Record]] = {}
    for record in records:
        by_run.setdefault(str(record.get("run") or name), []).append(record)
    found = []
    for run, rows in by_run.items():
        rows.sort(key=lambda one: (not isinstance(one.get("step"), int), one.get("step") or 0))
        steps = tuple(_plain_step(one) for one in rows)
        found.append(Run(id=run, repo=str(rows[0].get("repo") or ""), agent="plain", steps=steps))
    return found


def _plain_step(row: Record) -> RunStep:
    code = row.get("exit", row.get("exit_code", row.get("returncode")))
    # Without an exit code nothing was run, unless the line says otherwise.
    executed = bool(row.get("executed", code is not None))
    return RunStep(
        command=str(row.get("command") or ""),
        exit_code=code if isinstance(code, int) else None,
        output=str(row.get("output") or ""),
        executed=executed,
    )


def _whole_runs(records: Sequence[Record], name: str) -> list[Run]:
    """One run a line: instance_id or run, repo, task, steps of command, returncode, output."""
    found = []
    for number, record in enumerate(records):
        steps = tuple(_plain_step(_mapping(one)) for one in record.get("steps", []))
        resolved = record.get("resolved")
        found.append(
            Run(
                id=str(record.get("instance_id") or record.get("run") or f"{name}:{number}"),
                repo=str(record.get("repo") or ""),
                root=str(record.get("root") or ("/testbed" if record.get("instance_id") else "")),
                task=str(record.get("task") or ""),
                agent=str(record.get("agent") or "plain"),
                steps=steps,
                resolved=resolved if isinstance(resolved, bool) else None,
            )
        )
    return found


FORMATS: tuple[RunFormat, ...] = (
    RunFormat(
        "mini-swe-agent", lambda one: isinstance(one.get("messages"), list) and "info" in one, _mini_swe
    ),
    RunFormat("whole runs", lambda one: isinstance(one.get("steps"), list), _whole_runs),
    RunFormat(
        "codex",
        lambda one: (
            one.get("type") in ("session_meta", "response_item", "turn_context", "event_msg")
            and "payload" in one
        ),
        _codex,
    ),
    RunFormat(
        "claude-code",
        lambda one: (
            one.get("type") in ("user", "assistant")
            and "sessionId" in one
            and isinstance(one.get("message"), Mapping)
        ),
        _claude,
    ),
    RunFormat(
        "openhands",
        lambda one: "source" in one and ("action" in one or "observation" in one) and "id" in one,
        _openhands,
    ),
    RunFormat("plain", lambda one: "command" in one and ("run" in one or "exit" in one), _plain),
)


def format_of(record: Record) -> RunFormat | None:
    """The format a record belongs to, or None."""
    return next((one for one in FORMATS if one.fits(record)), None)
