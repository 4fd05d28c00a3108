"""W3C trace context of tasks and signals: ids that every process derives alike, without asking another.

A trace is a task: its id gives the trace's, unless the client brought a `traceparent` of its own along (as a
label). A signal is a span: the id of the neuron's turn that it starts.
"""

import hashlib
import re
from contextvars import ContextVar

__all__ = ["CURRENT_TRACEPARENT", "parse_traceparent", "span_id_of", "trace_id_of", "traceparent_of"]

TRACEPARENT_LABEL = "traceparent"
CURRENT_TRACEPARENT: ContextVar[str] = ContextVar("hal9_traceparent", default="")
"""The traceparent of the turn that is under way here: what it calls outside carries it on."""
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def parse_traceparent(text: str) -> tuple[str, str] | None:
    """Trace and span id of a W3C traceparent; None when it is none."""
    found = _FORM.fullmatch(text.strip().lower())
    if found is None or set(found[1]) == {"0"} or set(found[2]) == {"0"}:
        return None
    return found[1], found[2]


def trace_id_of(task_id: str, given: str = "") -> str:
    """32 hexadecimal digits: those of the traceparent that was given, else the task's own."""
    parsed = parse_traceparent(given)
    if parsed is not None:
        return parsed[0]
    plain = task_id.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", plain) and set(plain) != {"0"}:
        return plain
    return hashlib.sha256(task_id.encode()).hexdigest()[:32]


def span_id_of(name: str) -> str:
    """16 hexadecimal digits for whatever has a name of its own: a task, a signal, a step."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def traceparent_of(trace_id: str, span_name: str) -> str:
    """The header for work that the named span asks for."""
    return f"00-{trace_id}-{span_id_of(span_name)}-01"
