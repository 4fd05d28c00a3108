"""Command-line agents as minds: they answer, and in a workspace's copy they act.

Written against claude 2.1.332, codex 0.171.0 and gemini 0.61.0; older output forms of theirs are read too.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.minds.agents.mind import AGENTS, AgentMind
    from hal9.minds.agents.program import Agent, AgentSettings

__all__ = ["AGENTS", "Agent", "AgentMind", "AgentSettings"]

__getattr__ = lazy_names(__name__, {"mind": ("AGENTS", "AgentMind"), "program": ("Agent", "AgentSettings")})
