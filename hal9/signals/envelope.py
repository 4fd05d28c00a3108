"""The envelope that every payload travels in, and the only way to and from bytes."""

from typing import Literal, Self

from pydantic import BaseModel, ValidationError

from hal9.errors.signals import SignalExpired, SignalForged, SignalInvalid, SignalOverHopped, SignalOversize
from hal9.signals.error_types import SignalModel
from hal9.signals.identifiers import new_id
from hal9.signals.payloads import Payload
from hal9.signals.tracing import TRACEPARENT_LABEL, trace_id_of, traceparent_of

__all__ = ["MAX_HOPS", "MAX_SIGNAL_BYTES", "SCHEMA_VERSION", "Direction", "Signal", "decode", "encode"]

SCHEMA_VERSION = 1
MAX_SIGNAL_BYTES = 256 * 1024
MAX_HOPS = 64

Direction = Literal["forward", "backward", "lateral"]
_DIRECTIONS: dict[str, Direction] = {
    "gradient": "backward",
    "metric": "lateral",
    "need": "lateral",
    "suggestion": "lateral",
    "fork": "lateral",
    "merge": "lateral",
    "veto": "lateral",
}


class Signal(SignalModel):
    """The envelope. Layers are 4, 3, 2; 0 stands for the user's side (scheduler, command line)."""

    v: int = SCHEMA_VERSION
    id: str
    task_id: str
    cause_id: str | None = None
    direction: Direction = "forward"
    source: str
    target: str
    layer_from: int = 0
    layer_to: int = 0
    created_at: float
    expires_at: float
    hops: int = 0
    attempt: int = 1
    traceparent: str = ""
    payload: Payload

    @property
    def kind(self) -> str:
        """The payload's kind, as used in topics."""
        return self.payload.kind

    @classmethod
    def create(
        cls,
        payload: Payload,
        *,
        task_id: str,
        source: str,
        target: str,
        now: float,
        ttl_seconds: float = 3600.0,
        cause: "Signal | None" = None,
        layers: tuple[int, int] = (0, 0),
    ) -> Self:
        """A fresh signal; hops count on from the signal that caused it."""
        return cls(
            id=new_id(now=now),
            task_id=task_id,
            cause_id=cause.id if cause else None,
            direction=_DIRECTIONS.get(payload.kind, "forward"),
            source=source,
            target=target,
            layer_from=layers[0],
            layer_to=layers[1],
            created_at=now,
            expires_at=now + ttl_seconds,
            hops=cause.hops + 1 if cause else 0,
            traceparent=_traceparent(payload, task_id, cause),
            payload=payload,
        )


def _traceparent(payload: Payload, task_id: str, cause: Signal | None) -> str:
    """W3C context of work that is asked for: the asking turn's span, in the task's trace."""
    if payload.kind != "task":
        return ""
    if cause is None:
        given = payload.labels.get(TRACEPARENT_LABEL, "")
        return traceparent_of(trace_id_of(task_id, given), task_id)
    return traceparent_of(trace_id_of(task_id, cause.traceparent), cause.id)


def encode(signal: Signal) -> bytes:
    """Signal to JSON bytes.

    Raises:
        SignalOversize: larger than MAX_SIGNAL_BYTES; large content goes by reference.
    """
    data = signal.model_dump_json(exclude_defaults=False).encode()
    if len(data) > MAX_SIGNAL_BYTES:
        raise SignalOversize(signal_id=signal.id, size=len(data), limit=MAX_SIGNAL_BYTES)
    return data


def decode(
    data: bytes,
    *,
    now: float,
    source: str | None = None,
    target: str | None = None,
    kind: str | None = None,
    max_hops: int = MAX_HOPS,
) -> Signal:
    """JSON bytes to a signal a receiver may act on.

    Args:
        data: what arrived.
        now: the receiver's wall clock, seconds.
        source: who really sent it (the topic's last level, which the broker enforces).
        target: whose inbox it arrived in.
        kind: the kind the topic claims.
        max_hops: signals that travelled further are refused.

    Raises:
        SignalOversize, SignalInvalid, SignalForged, SignalExpired, SignalOverHopped.
    """
    if len(data) > MAX_SIGNAL_BYTES:
        raise SignalOversize(signal_id=None, size=len(data), limit=MAX_SIGNAL_BYTES)
    try:
        signal = Signal.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(data, error) from error
    if signal.v != SCHEMA_VERSION:
        raise SignalInvalid(signal_id=signal.id, reason="unknown_version", detail=f"version {signal.v}")
    for claimed, actual, what in (
        (signal.source, source, "source"),
        (signal.target, target, "target"),
        (signal.kind, kind, "kind"),
    ):
        if actual is not None and claimed != actual:
            raise SignalForged(signal_id=signal.id, field=what, claimed=claimed, actual=actual)
    if signal.hops > max_hops:
        raise SignalOverHopped(signal_id=signal.id, hops=signal.hops, limit=max_hops)
    if signal.expires_at <= now:
        raise SignalExpired(signal_id=signal.id, seconds_ago=now - signal.expires_at)
    return signal


def _invalid(data: bytes, error: ValidationError) -> SignalInvalid:
    """Say which of the ways of being unreadable it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    detail = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if first["type"] == "json_invalid":
        return SignalInvalid(signal_id=None, reason="bad_json", detail=detail)
    if first["type"].startswith("union_tag"):
        return SignalInvalid(signal_id=None, reason="unknown_kind", detail=detail)
    version = _peek_version(data)
    if version is not None and version != SCHEMA_VERSION:
        return SignalInvalid(signal_id=None, reason="unknown_version", detail=f"version {version}")
    return SignalInvalid(signal_id=None, reason="bad_shape", detail=detail)


class _Version(BaseModel):
    v: int


def _peek_version(data: bytes) -> int | None:
    try:
        return _Version.model_validate_json(data).v
    except ValidationError:
        return None
