"""A call that was looked at before it is carried out: what it would do, and what the gate says to that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.base import WorkbenchError
from hal9.errors.tools import ToolUnknown
from hal9.tools.action import Action, ActionContext, ActionGate, Decision
from hal9.tools.schema import Tool
from hal9.tools.turn_log import PendingCall

__all__ = ["ASK", "FINISH", "PlannedCall", "plan_call"]

FINISH, ASK = "finish", "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """What a call would do, and whether it may; or, in `problem`, why it cannot be done as it is.

    Attributes:
        label: which call of the turn.
        context: where it stands.
        tool: None when there is a problem, as `action`.
        arguments: checked, with defaults.
    """

    label: str
    context: ActionContext
    problem: str = ""
    tool: Tool | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    action: Action | None = None
    decision: Decision = field(default_factory=Decision)

    @property
    def runs(self) -> bool:
        """It is carried out at once: nobody is asked (that wait outlasts a crash), nothing is refused."""
        asks = self.tool is None or self.tool.name == ASK or self.decision.verdict == "ask"
        return not asks and self.decision.verdict != "refuse"


async def plan_call(
    pending: PendingCall, tools: Mapping[str, Tool], gate: ActionGate, context: ActionContext
) -> PlannedCall:
    """Look at a call. Nothing is done yet."""
    call = pending.call
    if call.problem:
        return PlannedCall(label=pending.label, context=context, problem=call.problem)
    try:
        if call.name not in tools:
            raise ToolUnknown(name=call.name, known=tuple(tools))
        tool = tools[call.name]
        arguments = tool.accept(call.arguments)
    except WorkbenchError as error:
        return PlannedCall(label=pending.label, context=context, problem=str(error))
    action = tool.describe(arguments)
    # The answer passes the gate when it is tried, with the files that were changed.
    decision = Decision() if tool.name == FINISH else await gate.before(action, context)
    return PlannedCall(
        label=pending.label,
        context=context,
        tool=tool,
        arguments=arguments,
        action=action,
        decision=decision,
    )
