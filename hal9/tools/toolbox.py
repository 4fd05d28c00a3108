"""Which tools a neuron has in a turn: what its layer may, what its file lists, what YAML adds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field

from hal9.settings import LayerPermissions
from hal9.tools.action import Action, answer_action, tool_action
from hal9.tools.observation import Observation
from hal9.tools.schema import Tool, tool_of

__all__ = ["NoTools", "ToolSource", "allowed_tools", "control_tools"]


class ToolSource(Protocol):
    """Tools from elsewhere, such as MCP servers; open while the node runs."""

    def for_neuron(self, neuron: str) -> tuple[Tool, ...]:
        """What a neuron may use of them now."""
        ...

    def problems(self) -> dict[str, str]:
        """Servers that cannot be reached now, and why."""
        ...


@dataclass(frozen=True, slots=True)
class NoTools:
    """Nothing from elsewhere."""

    def for_neuron(self, neuron: str) -> tuple[Tool, ...]:
        return ()

    def problems(self) -> dict[str, str]:
        return {}


async def finish(
    answer: Annotated[str, Field(min_length=1, description="What the user should read.")],
    verified: Annotated[str, Field(description="What you checked, and how.")] = "",
) -> Observation:
    """End the task with an answer. The task's check is run; when it fails you see why and go on."""
    return Observation(text=f"{answer}\n{verified}".strip(), ends=True)


async def ask(
    question: Annotated[str, Field(min_length=1, description="One question, with what you need to know.")],
) -> Observation:
    """Ask the person who gave the task. Only for what you cannot find out: it may take long."""
    return Observation(text=question)


def _describe_finish(arguments: Mapping[str, Any]) -> Action:
    return answer_action(str(arguments.get("answer", "")))


def _describe_ask(arguments: Mapping[str, Any]) -> Action:
    return tool_action("ask", arguments)


def control_tools(*, asking: bool) -> tuple[Tool, ...]:
    """The tools that the loop itself carries out: `finish`, and `ask` where a person may be asked."""
    tools = [tool_of(finish, describe=_describe_finish, permission="none")]
    if asking:
        tools.insert(0, tool_of(ask, describe=_describe_ask, permission="none"))
    return tuple(tools)


def allowed_tools(
    tools: Iterable[Tool], *, permissions: LayerPermissions, listed: Iterable[str]
) -> dict[str, Tool]:
    """The tools by name that both the layer's permissions and the neuron's file allow."""
    names = set(listed)
    granted = {
        "none": True,
        "read": permissions.read and "read" in names,
        "write": permissions.write and "write" in names,
        "run": permissions.run and "run" in names,
    }
    return {tool.name: tool for tool in tools if granted[tool.permission]}
