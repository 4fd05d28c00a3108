"""Where chat requests go."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hal9.minds.prices import Price

__all__ = ["Endpoint", "is_private_address"]

_LOCAL_SUFFIXES = (".localhost", ".local", ".lan", ".internal", ".home.arpa", ".home", ".test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to send chat requests and how.

    Attributes:
        mind: the name used in replies and errors.
        base_url: address up to and including ``/v1``.
        model: the model's name at that server.
        key: bearer token, or None.
        key_variable: the environment variable the user sets the key in (for error texts).
        price: what tokens cost; None when unknown.
        adapt_schema: applied to a schema before it is sent.
        extra: further fields of the request body.
        grammars: whether the server takes a GBNF grammar.
        prompt_cache_field: the field that turns the server's prompt cache on and off; empty if it has none.
    """

    mind: str
    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_variable: str = "OPENAI_API_KEY"
    price: Price | None = None
    adapt_schema: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    grammars: bool = False
    prompt_cache_field: str = ""


def is_private_address(url: str) -> bool:
    """Whether a URL names this machine or one of the same network, where tokens cost nobody money.

    Loopback, private and link-local addresses, names without a dot (as container networks have them) and the
    suffixes kept for local networks.
    """
    host = (urlsplit(url).hostname or "").lower().rstrip(".")
    if not host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local
