"""Errors of tools: each is an answer to the model that called, in words it can act on."""

from dataclasses import dataclass

from hal9.errors.base import WorkbenchError, install_hint

__all__ = [
    "ArgumentsInvalid",
    "EditMissed",
    "FileUnseen",
    "McpMissing",
    "PolicyInvalid",
    "QuestionAnswered",
    "QuestionUnknown",
    "ToolUnknown",
]


@dataclass(eq=False, kw_only=True)
class ToolUnknown(WorkbenchError):
    """A call names a tool that this neuron does not have."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"there is no tool {self.name!r} here; the tools are: {', '.join(self.known)}"


@dataclass(eq=False, kw_only=True)
class ArgumentsInvalid(WorkbenchError):
    """Arguments that do not fit the tool's schema."""

    name: str
    problem: str
    expected: str

    def message(self) -> str:
        return f"the arguments of {self.name} cannot be used: {self.problem}. It takes: {self.expected}"


@dataclass(eq=False, kw_only=True)
class EditMissed(WorkbenchError):
    """An edit does not apply to the file as it is; nothing was changed."""

    path: str
    problem: str

    def message(self) -> str:
        return f"{self.path} was not changed: {self.problem}"


@dataclass(eq=False, kw_only=True)
class FileUnseen(WorkbenchError):
    """A whole file would be overwritten by somebody who has not seen all of it."""

    path: str
    lines: int

    def message(self) -> str:
        return (
            f"{self.path} was not changed: it exists with {self.lines} lines that you have not all seen, so it is not "
            "overwritten; give a SEARCH/REPLACE block or a diff for the part that changes"
        )


@dataclass(eq=False, kw_only=True)
class PolicyInvalid(WorkbenchError):
    """A rule of `tools.policy` cannot be read."""

    rule: str
    problem: str

    def message(self) -> str:
        return f"tools.policy, rule {self.rule}: {self.problem}"


@dataclass(eq=False, kw_only=True)
class QuestionUnknown(WorkbenchError):
    """No open question or approval has this id."""

    given: str
    open: tuple[str, ...]

    def message(self) -> str:
        listed = ", ".join(self.open) or "none"
        return f"no question or approval {self.given!r}; open ones: {listed} (`hal9 approvals` shows them)."


@dataclass(eq=False, kw_only=True)
class QuestionAnswered(WorkbenchError):
    """Somebody has answered already."""

    question: str
    answer: str

    def message(self) -> str:
        return f"{self.question} has its answer already: {self.answer}"


@dataclass(eq=False, kw_only=True)
class McpMissing(WorkbenchError):
    """MCP servers are configured and the library that speaks to them is not installed."""

    servers: tuple[str, ...]
    exit_code = 3

    def message(self) -> str:
        return (
            f"tools.servers names {', '.join(self.servers)}, and the MCP library is not installed. "
            f"Install it with: {install_hint('mcp')}"
        )
