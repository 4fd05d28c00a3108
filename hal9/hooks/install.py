"""Puts our hook into an agent's settings, and takes it out again; what else stands there is kept."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal9.errors.hooks import HookSettingsUnreadable
from hal9.hooks.events import Agent

__all__ = ["FILES", "install", "remove"]

FILES: dict[Agent, str] = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini-cli": ".gemini/settings.json",
    "cursor": ".cursor/hooks.json",
}
"""Below the project's folder, or below the user's home folder with `--user`."""

_EVENTS: dict[Agent, tuple[tuple[str, str], ...]] = {
    "claude-code": (
        ("PreToolUse", "*"),
        ("PostToolUse", "*"),
        ("PostToolUseFailure", "*"),
        ("SessionStart", ""),
        ("UserPromptSubmit", ""),
    ),
    "codex": (("PreToolUse", "*"), ("PostToolUse", "*"), ("SessionStart", ""), ("UserPromptSubmit", "")),
    "gemini-cli": (("BeforeTool", "*"), ("AfterTool", "*"), ("SessionStart", ""), ("BeforeAgent", "")),
    "cursor": (("beforeShellExecution", ""), ("afterShellExecution", ""), ("sessionStart", "")),
}
_MARK = " hook "


def install(agent: Agent, folder: Path, *, program: str, home: Path) -> Path:
    """Enter the hook; doing it twice changes nothing.

    Args:
        agent: whose settings.
        folder: the project's folder, or the user's.
        program: how `hal9` is called.
        home: the cluster's home.

    Raises:
        HookSettingsUnreadable: the file there is no JSON object.
    """
    path = folder / FILES[agent]
    settings = _without(agent, _read(path))
    hooks = settings.setdefault("hooks", {})
    for event, matcher in _EVENTS[agent]:
        command = shlex.join([program, "--home", str(home), "hook", event, "--agent", agent])
        entries = hooks.setdefault(event, [])
        if agent == "cursor":
            entries.append({"command": command})
            continue
        inner = {"type": "command", "command": command, "timeout": 10_000 if agent == "gemini-cli" else 10}
        entries.append({"matcher": matcher, "hooks": [inner]} if matcher else {"hooks": [inner]})
    if agent == "cursor":
        settings.setdefault("version", 1)
    _write(path, settings)
    return path


def remove(agent: Agent, folder: Path) -> Path:
    """Take our entries out; others stay.

    Raises:
        HookSettingsUnreadable: the file there is no JSON object.
    """
    path = folder / FILES[agent]
    if path.exists():
        _write(path, _without(agent, _read(path)))
    return path


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError) as error:
        raise HookSettingsUnreadable(file=str(path), problem=str(error)) from error
    hooks = value.get("hooks", {}) if isinstance(value, dict) else None
    if not isinstance(hooks, dict) or not all(isinstance(one, list) for one in hooks.values()):
        raise HookSettingsUnreadable(
            file=str(path), problem="it is not an object with `hooks` as lists by event"
        )
    return dict(value)


def _without(agent: Agent, settings: dict[str, Any]) -> dict[str, Any]:
    hooks = {event: _others(agent, entries) for event, entries in settings.get("hooks", {}).items()}
    kept = {event: entries for event, entries in hooks.items() if entries}
    return (
        {**settings, "hooks": kept} if kept else {key: one for key, one in settings.items() if key != "hooks"}
    )


def _others(agent: Agent, entries: list[Any]) -> list[Any]:
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            found.append(entry)
        elif isinstance(entry.get("hooks"), list):
            inner = [one for one in entry["hooks"] if not _ours(agent, one)]
            if inner:
                found.append({**entry, "hooks": inner})
        elif not _ours(agent, entry):
            found.append(entry)
    return found


def _ours(agent: Agent, entry: Any) -> bool:
    command = str(entry.get("command", "")) if isinstance(entry, Mapping) else ""
    return _MARK in command and command.endswith(f"--agent {agent}") and "hal9" in command


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".hal9-new")
    beside.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)
