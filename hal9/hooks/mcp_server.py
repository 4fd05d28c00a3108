"""The memory as an MCP server: five tools, on standard input and output or on HTTP of the loopback."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hal9 import __version__
from hal9.database import Place
from hal9.errors.base import Hal9Error
from hal9.errors.hooks import HookExtraMissing
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.rules.taught import teach
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import (
    EVERYWHERE,
    MemoryScope,
    MemoryStore,
    RecallPolicy,
    Rule,
    RuleStore,
    read_place,
    recall_many,
    repository_of,
    scope_of,
)
from hal9.memory.rules.roles import ROLES
from hal9.tools.action import command_action

__all__ = ["MemoryService", "make_server", "serve"]

_T = TypeVar("_T")
_MOST = 10
_INSTRUCTIONS = (
    "What was learned in this repository: rules that people gave, and what earlier runs failed on. Call "
    "`recall` with the task before you begin, `report_outcome` after each shell command that failed, and "
    "`remember` when the user corrects you."
)


class MemoryService:
    """What the tools do, without the protocol."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.advisor = ActionAdvisor(store)

    def recall(self, task: str, folder: str, paths: list[str]) -> dict[str, Any]:
        """Rules that hold for a task, the nearest first, and what earlier runs failed on."""
        scope = replace(scope_of(task, workspace=folder, paths=paths), roles=ROLES)
        found = recall_many(self.store, task, scope, RecallPolicy(limit=_MOST))
        return {
            "rules": [{"id": one.rule_id, "rule": one.rule, "holds_for": one.scope.label()} for one in found],
            "known_of_earlier_runs": self.advisor.advice(scope.workspace),
        }

    def report_outcome(self, command: str, exit_code: int, output: str, folder: str) -> dict[str, Any]:
        """Learn how a command ended; answers with what helped after such an error."""
        repo = repository_of(folder).identity
        watch = RunWatch.begin(repo, RunState(root=folder, view=LiveView(root=folder)))
        action = command_action(command)
        advised = self.advisor.before(action, watch)
        self.advisor.after(action, watch, advised, exit_code=exit_code, output=output)
        remedy = self.advisor.remedy(repo, command, exit_code=exit_code, output=output) if exit_code else ""
        return {"recorded": True, "what_helped": remedy}

    def remember(self, rule: str, holds_for: str, folder: str) -> dict[str, Any]:
        """Store a rule in the user's words."""
        place = read_place(holds_for or "project")
        number, said = teach(
            self.store, rule, MemoryScope(repository_of(folder).identity, place=place), cause="mcp"
        )
        return {"rule": number, "said": said}

    def rules(self, folder: str, path: str) -> list[dict[str, Any]]:
        """Rules in force here, for one path or all."""
        identity = repository_of(folder).identity
        scope = replace(scope_of("", workspace=folder, paths=[path] if path else []), roles=ROLES)
        found = RuleStore(self.store).all(states=("admitted",))
        mine = [one for one in found if one.scope.workspace in (identity, folder, "*")]
        return [_told(one) for one in mine if not path or one.scope.covers(scope)]

    def explain(self, rule_id: int) -> dict[str, Any]:
        """Where a rule comes from and how it did."""
        one = RuleStore(self.store).get(rule_id)
        return {**_told(one), "provenance": dict(one.provenance), "tried": one.tried, "helped": one.helped}


def _told(one: Rule) -> dict[str, Any]:
    where = "the whole project" if one.scope.place == EVERYWHERE else one.scope.label()
    return {"id": one.id, "rule": one.rule, "holds_for": where, "state": one.state, "why": one.state_reason}


def make_server(service: MemoryService) -> Any:
    """The MCP server over a service.

    Raises:
        HookExtraMissing: the package `mcp` is not installed.
    """
    try:
        from mcp.server import MCPServer  # noqa: PLC0415 - an extra, and slow to load
        from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415
    except ImportError as error:
        raise HookExtraMissing(package="mcp") from error

    async def answered(work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(work)
        except Hal9Error as error:
            raise ToolError(str(error)) from error

    server: Any = MCPServer(
        "hal9-memory", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING"
    )

    async def recall(task: str, folder: str = ".", paths: list[str] | None = None) -> dict[str, Any]:
        """Rules that hold for a task in this folder, and what earlier runs failed on. Call it first."""
        return await answered(lambda: service.recall(task, _absolute(folder), paths or []))

    async def report_outcome(
        command: str, exit_code: int, output: str = "", folder: str = "."
    ) -> dict[str, Any]:
        """Report how a shell command ended; answers with what helped after such an error."""
        return await answered(lambda: service.report_outcome(command, exit_code, output, _absolute(folder)))

    async def remember(rule: str, holds_for: str = "project", folder: str = ".") -> dict[str, Any]:
        """Keep a rule in the user's words; holds_for is `project`, a folder, a file or a glob."""
        return await answered(lambda: service.remember(rule, holds_for, _absolute(folder)))

    async def rules(folder: str = ".", path: str = "") -> list[dict[str, Any]]:
        """Rules in force in this folder, for one path or for all."""
        return await answered(lambda: service.rules(_absolute(folder), path))

    async def explain(rule_id: int) -> dict[str, Any]:
        """Where a rule comes from and how often it helped."""
        return await answered(lambda: service.explain(rule_id))

    for tool in (recall, report_outcome, remember, rules, explain):
        server.add_tool(tool)
    return server


def _absolute(folder: str) -> str:
    return str(Path(folder or ".").resolve())


def serve(memory: Place, *, port: int | None = None) -> None:
    """Serve until standard input ends, or for ever on a port of the loopback."""
    with MemoryStore(memory) as store:
        server = make_server(MemoryService(store))
        if port is None:
            from hal9.ripmap.serving.answered_streams import run_until_answered  # noqa: PLC0415 - needs mcp

            asyncio.run(run_until_answered(server))
        else:
            server.run("streamable-http", host="127.0.0.1", port=port)
