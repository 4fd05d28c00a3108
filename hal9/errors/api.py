"""Errors of api: the HTTP interface, its clients and their tokens."""

from dataclasses import dataclass
from typing import ClassVar

from hal9.errors.base import ApiError, ConfigError, install_hint

__all__ = [
    "AddressUnavailable",
    "AgentProtocolMissing",
    "ApiFailed",
    "ApiRunning",
    "ArchiveRefused",
    "BodyTooLarge",
    "CursorInvalid",
    "HostRefused",
    "IdempotencyMismatch",
    "LocalOnly",
    "PlaintextRefused",
    "ProfileUnknown",
    "RateExceeded",
    "RequestInvalid",
    "ScopeMissing",
    "ServerRefused",
    "ServerUnreachable",
    "StoreBusy",
    "StreamsExhausted",
    "TlsUnusable",
    "TokenNameTaken",
    "TokenRefused",
    "TokenUnknown",
    "UploadUnknown",
    "WorkspaceRefused",
]


@dataclass(eq=False, kw_only=True)
class TokenRefused(ApiError):
    """No token, or one that is wrong, revoked or expired; never says which."""

    status: ClassVar[int] = 401

    def message(self) -> str:
        return "this needs a valid token (Authorization: Bearer …); `hal9 token create NAME` makes one at the server"


@dataclass(eq=False, kw_only=True)
class ScopeMissing(ApiError):
    """The token is good, but not for this."""

    status: ClassVar[int] = 403
    scope: str

    def message(self) -> str:
        return f"the token has not the scope {self.scope!r}; `hal9 token create NAME --scope {self.scope}` makes one that has"


@dataclass(eq=False, kw_only=True)
class HostRefused(ApiError):
    """The request names a host that this server does not go by."""

    status: ClassVar[int] = 421
    given: str

    def message(self) -> str:
        return f"this server does not go by the name {self.given[:100]!r}; add it to api.names in hal9.yaml if it should"


@dataclass(eq=False, kw_only=True)
class BodyTooLarge(ApiError):
    """More was sent than the server takes."""

    status: ClassVar[int] = 413
    limit: int

    def message(self) -> str:
        return f"the request is larger than {self.limit} bytes (api.max_body_mb, api.max_upload_mb)"


@dataclass(eq=False, kw_only=True)
class RateExceeded(ApiError):
    """Too many requests."""

    status: ClassVar[int] = 429
    retry_after: float

    def message(self) -> str:
        return f"too many requests (api.requests_per_minute); try again in {self.retry_after:.0f} s"


@dataclass(eq=False, kw_only=True)
class StreamsExhausted(ApiError):
    """All event streams are taken."""

    status: ClassVar[int] = 503
    limit: int

    def message(self) -> str:
        return f"{self.limit} event streams are open already (api.max_streams)"


@dataclass(eq=False, kw_only=True)
class StoreBusy(ApiError):
    """A database of the home could not be read or written just now."""

    status: ClassVar[int] = 503
    detail: str

    def message(self) -> str:
        return f"the home's databases are busy ({self.detail}); try again in a moment"


@dataclass(eq=False, kw_only=True)
class RequestInvalid(ApiError):
    """A body, query or path that does not fit the schema."""

    status: ClassVar[int] = 422
    exit_code = 2
    problems: tuple[str, ...]

    def message(self) -> str:
        return "; ".join(self.problems)


@dataclass(eq=False, kw_only=True)
class CursorInvalid(ApiError):
    """A page's cursor or an event id that this server never gave."""

    status: ClassVar[int] = 400
    given: str

    def message(self) -> str:
        return f"{self.given[:60]!r} is no cursor of this server; start without one"


@dataclass(eq=False, kw_only=True)
class IdempotencyMismatch(ApiError):
    """The key was used for something else."""

    status: ClassVar[int] = 409
    key: str

    def message(self) -> str:
        return f"Idempotency-Key {self.key[:60]!r} was used for another request already; take a new key for a new task"


@dataclass(eq=False, kw_only=True)
class WorkspaceRefused(ApiError):
    """A workspace that tasks from the API may not use."""

    status: ClassVar[int] = 403
    path: str

    def message(self) -> str:
        return (
            f"tasks from the API may not use {self.path!r}: it is in none of api.workspaces of hal9.yaml. "
            "Add it there, or upload the workspace as an archive"
        )


@dataclass(eq=False, kw_only=True)
class UploadUnknown(ApiError):
    """No such uploaded workspace."""

    status: ClassVar[int] = 404
    upload: str

    def message(self) -> str:
        return f"there is no uploaded workspace {self.upload[:60]!r} (any more; api.uploads_keep_hours)"


@dataclass(eq=False, kw_only=True)
class ArchiveRefused(ApiError):
    """An uploaded archive that is not taken."""

    status: ClassVar[int] = 422
    problem: str

    def message(self) -> str:
        return f"the archive was not accepted: {self.problem}"


@dataclass(eq=False, kw_only=True)
class TokenUnknown(ApiError):
    """No token of that name."""

    status: ClassVar[int] = 404
    name: str

    def message(self) -> str:
        return f"there is no token {self.name!r}; `hal9 token list` shows them"


@dataclass(eq=False, kw_only=True)
class TokenNameTaken(ApiError):
    """A second token of one name."""

    status: ClassVar[int] = 409
    name: str

    def message(self) -> str:
        return f"there is a token {self.name!r} already; `hal9 token revoke {self.name}` ends it"


@dataclass(eq=False, kw_only=True)
class PlaintextRefused(ConfigError):
    """Tokens would cross the network in the clear."""

    host: str

    def message(self) -> str:
        return (
            f"api.host {self.host} is reached from other machines, and tokens would travel in the clear. Set "
            "api.tls_certificate and api.tls_key, or api.allow_plaintext: true where something else encrypts"
        )


@dataclass(eq=False, kw_only=True)
class TlsUnusable(ConfigError):
    """The certificate or its key cannot be used."""

    detail: str

    def message(self) -> str:
        return f"api.tls_certificate and api.tls_key cannot be used: {self.detail}"


@dataclass(eq=False, kw_only=True)
class AddressUnavailable(ApiError):
    """The address cannot be listened on."""

    host: str
    port: int
    detail: str

    def message(self) -> str:
        return (
            f"the API cannot listen on {self.host}:{self.port}: {self.detail}. api.port: 0 takes a free port"
        )


@dataclass(eq=False, kw_only=True)
class ApiRunning(ApiError):
    """A second server on one home."""

    url: str

    def message(self) -> str:
        return f"this home is served already at {self.url}; `hal9 dashboard` opens it"


@dataclass(eq=False, kw_only=True)
class ServerUnreachable(ApiError):
    """Nobody answers at the URL."""

    exit_code = 4
    url: str
    detail: str

    def message(self) -> str:
        return f"no answer from {self.url}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class ServerRefused(ApiError):
    """The server's own words, when they are no error this version knows."""

    text: str
    code: int

    def message(self) -> str:
        return f"{self.text} (HTTP {self.code})"


@dataclass(eq=False, kw_only=True)
class LocalOnly(ApiError):
    """A command for the machine that has the home."""

    exit_code = 2
    command: str

    def message(self) -> str:
        return f"`hal9 {self.command}` works on the machine that has the home, not through --url"


@dataclass(eq=False, kw_only=True)
class ProfileUnknown(ConfigError):
    """No such profile."""

    name: str
    path: str
    known: tuple[str, ...]

    def message(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"no profile {self.name!r} in {self.path} (there: {known}); `hal9 login URL --name {self.name}` makes one"


@dataclass(eq=False, kw_only=True)
class ApiFailed(ApiError):
    """The daemon refused or could not do what was asked."""

    status: ClassVar[int] = 409
    text: str

    def message(self) -> str:
        return self.text


@dataclass(eq=False, kw_only=True)
class AgentProtocolMissing(ConfigError):
    """Other agents are to be served, and the protocol's library is not installed."""

    library: str

    def message(self) -> str:
        return f"api.a2a is true, and {self.library} is not installed: {install_hint('a2a')} brings it; or set api.a2a to false"
