"""Language models behind one protocol.

`open_mind("local")` gives a `Mind`; whatever is behind it, replies are validated, passing failures are
retried by one loop, and every error names its remedy. Submodules load when their names are first used, so
importing this room is quick.
The functions `models()` and `pull()` stay in the modules whose names they bear.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.minds.agents import AGENTS, Agent, AgentMind, AgentSettings
    from hal9.minds.budgeted import BudgetedMind
    from hal9.minds.chat.client import ChatClient
    from hal9.minds.chat.endpoint import Endpoint
    from hal9.minds.chat.openai_mind import OpenAIMind
    from hal9.minds.litellm_mind import LiteLLMMind
    from hal9.minds.local.mind import LocalMind, LocalSettings, running_servers
    from hal9.minds.local.models import (
        Model,
        default_model,
        find_model,
        installed,
        is_installed,
        models_folder,
    )
    from hal9.minds.local.pull import OnNotice, OnProgress, Progress
    from hal9.minds.open import MindSettings, ValidatingMind, default_spec, open_mind
    from hal9.minds.prices import Price, Quote, Quoting
    from hal9.minds.protocol import (
        AgentAct,
        Capabilities,
        Message,
        Mind,
        OnToken,
        Reply,
        Request,
        StopReason,
        ToolCall,
        ToolSpec,
        Usage,
        Workplace,
    )
    from hal9.minds.recording import RecordingMind, ReplayMind
    from hal9.minds.retries import RetryingMind, RetryPolicy
    from hal9.minds.schema import schema_instruction
    from hal9.minds.scripted import ScriptedMind
    from hal9.minds.valid_replies import answer, checked_calls

_HOMES = {
    "agents": ("AGENTS", "Agent", "AgentMind", "AgentSettings"),
    "valid_replies": ("answer", "checked_calls"),
    "budgeted": ("BudgetedMind",),
    "litellm_mind": ("LiteLLMMind",),
    "local.mind": ("LocalMind", "LocalSettings", "running_servers"),
    "local.models": ("Model", "default_model", "find_model", "installed", "is_installed", "models_folder"),
    "local.pull": ("OnNotice", "OnProgress", "Progress"),
    "open": ("MindSettings", "ValidatingMind", "default_spec", "open_mind"),
    "chat.client": ("ChatClient",),
    "chat.endpoint": ("Endpoint",),
    "chat.openai_mind": ("OpenAIMind",),
    "prices": ("Price", "Quote", "Quoting"),
    "protocol": (
        "AgentAct",
        "Capabilities",
        "Message",
        "Mind",
        "OnToken",
        "Reply",
        "Request",
        "StopReason",
        "ToolCall",
        "ToolSpec",
        "Usage",
        "Workplace",
    ),
    "recording": ("RecordingMind", "ReplayMind"),
    "retries": ("RetryPolicy", "RetryingMind"),
    "schema": ("schema_instruction",),
    "scripted": ("ScriptedMind",),
}

__all__ = [
    "AGENTS",
    "Agent",
    "AgentAct",
    "AgentMind",
    "AgentSettings",
    "BudgetedMind",
    "Capabilities",
    "ChatClient",
    "Endpoint",
    "LiteLLMMind",
    "LocalMind",
    "LocalSettings",
    "Message",
    "Mind",
    "MindSettings",
    "Model",
    "OnNotice",
    "OnProgress",
    "OnToken",
    "OpenAIMind",
    "Price",
    "Progress",
    "Quote",
    "Quoting",
    "RecordingMind",
    "ReplayMind",
    "Reply",
    "Request",
    "RetryPolicy",
    "RetryingMind",
    "ScriptedMind",
    "StopReason",
    "ToolCall",
    "ToolSpec",
    "Usage",
    "ValidatingMind",
    "Workplace",
    "answer",
    "checked_calls",
    "default_model",
    "default_spec",
    "find_model",
    "installed",
    "is_installed",
    "models_folder",
    "open_mind",
    "running_servers",
    "schema_instruction",
]

__getattr__ = lazy_names(__name__, _HOMES)
