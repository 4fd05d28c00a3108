"""Tools: what a neuron may do in its turn, decided on before it is done, recorded after it."""

from hal9.tools.action import (
    Action,
    ActionContext,
    ActionGate,
    ActionOutcome,
    Decision,
    OpenGate,
    answer_action,
    command_action,
    file_action,
    tool_action,
)
from hal9.tools.shell import HereDocument, SimpleCommand, parse_command

__all__ = [
    "Action",
    "ActionContext",
    "ActionGate",
    "ActionOutcome",
    "Decision",
    "HereDocument",
    "OpenGate",
    "SimpleCommand",
    "answer_action",
    "command_action",
    "file_action",
    "parse_command",
    "tool_action",
]
