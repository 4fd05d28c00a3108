"""Scripted minds for `hal9 tune`: one that follows the rules of its prompt, one that reads complaints."""

import re

from hal9.minds.protocol import Request
from tests.tuning.toy import reflecting_mind

reflect = reflecting_mind()


def follow(request: Request) -> str:
    """Name every word that the system prompt tells to name."""
    return " ".join(re.findall(r"Always name (\w+) in", request.messages[0].content)) or "nothing"
