"""One request to the dashboard after its checks."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from hal9.api.services import Services
from hal9.api.tokens import SCOPES, Token
from hal9.dashboard.pulse import Pulse

__all__ = ["View"]


@dataclass(frozen=True, slots=True)
class View:
    """Who asks for what, and what answers it."""

    request: Request
    services: Services
    pulse: Pulse
    token: Token
    seen: str = ""
    """What had happened before the page began to be drawn; it is followed from there."""

    def frame(self, page: str) -> dict[str, Any]:
        """What every page's frame needs."""
        return {
            "page": page,
            "seen": self.seen,
            "home": str(self.services.home.root),
            "may": {scope: self.token.allows(scope) for scope in SCOPES},
            "note": self.request.query_params.get("told", "")[:500],
            "problem": self.request.query_params.get("problem", "")[:500],
        }
