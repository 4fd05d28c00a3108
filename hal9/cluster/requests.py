"""What may be asked of the daemon, checked before it is written down, also while nobody is there."""

import json
from collections.abc import Mapping
from typing import Any

from hal9.cluster.home import Home
from hal9.errors.cluster import RequestInvalid
from hal9.journal.tasks import TERMINAL, RequestRow, TaskRow

__all__ = ["KINDS", "LEARNING_REQUESTS", "check_request", "request_as_json"]

LEARNING_REQUESTS = (
    "feedback",
    "approve",
    "deny",
    "rollback",
    "pause",
    "resume",
    "freeze",
    "unfreeze",
    "sleep",
    "import",
)
"""What learning answers."""
KINDS = ("cancel", *LEARNING_REQUESTS)


def check_request(home: Home, kind: str, body: Mapping[str, Any], task: TaskRow | None) -> None:
    """Find what would make the daemon refuse the request when it comes up. Blocks: reads files.

    Args:
        home: whose daemon.
        kind: of the request.
        body: what is asked.
        task: the task it is about, if it is about one.

    Raises:
        RequestInvalid: nothing of this kind can be asked, or not of this task.
        Hal9Error: as the daemon would raise it (no such change, no such neuron, contradictory feedback, …).
    """
    if kind not in KINDS:
        raise RequestInvalid(kind=kind, problem=f"known are {', '.join(KINDS)}")
    if kind == "feedback":
        _check_feedback(body, task)
    elif kind in ("approve", "deny") or (kind == "rollback" and "moment" not in body):
        _check_change(home, str(body.get("change", "")))
    elif kind in ("freeze", "unfreeze"):
        _check_neuron(home, str(body.get("neuron", "")))
    elif kind == "import":
        _check_import(body)


def _check_feedback(body: Mapping[str, Any], task: TaskRow | None) -> None:
    from hal9.learning.detection.feedback import parse_feedback  # noqa: PLC0415 - a client rarely needs it

    parse_feedback(dict(body))
    if task is None:
        raise RequestInvalid(kind="feedback", problem="it is about no task")
    if task.state not in TERMINAL:
        raise RequestInvalid(kind="feedback", problem=f"task {task.id} is {task.state}: it has no answer yet")


def _check_change(home: Home, change: str) -> None:
    from hal9.database import is_there  # noqa: PLC0415
    from hal9.errors.learning import ChangeUnknown  # noqa: PLC0415 - a client rarely needs these
    from hal9.learning.state.ledger import Ledger  # noqa: PLC0415
    from hal9.memory import MemoryStore  # noqa: PLC0415

    if not is_there(home.memory):
        raise ChangeUnknown(change=change)
    with MemoryStore(home.memory) as store:
        Ledger(store).get(change)


def _check_neuron(home: Home, neuron: str) -> None:
    from hal9.errors.learning import NeuronUnknown  # noqa: PLC0415

    known = sorted(path.stem for path in home.neurons.glob("*.md") if path.stem != "README")
    if neuron not in known:
        raise NeuronUnknown(neuron=neuron, known=tuple(known))


def _check_import(body: Mapping[str, Any]) -> None:
    from hal9.memory import parse_pack  # noqa: PLC0415

    text, file = str(body.get("text", "")), str(body.get("file", ""))
    if not text.lstrip().startswith("{"):
        parse_pack(text, file=file)
        return
    try:
        json.loads(text)
    except ValueError as error:
        raise RequestInvalid(
            kind="import", problem=f"{file} is neither a pack nor an archive: {error}"
        ) from error


def request_as_json(request: RequestRow) -> dict[str, Any]:
    """A request and its answer for `--json` and scripts; `error` is empty unless it was refused."""
    answer: Any = None
    if request.outcome is not None:
        try:
            answer = json.loads(request.outcome)
        except ValueError:
            answer = {"said": [request.outcome]}
    said = answer if isinstance(answer, dict) else {}
    return {
        "id": request.seq,
        "kind": request.kind,
        "task_id": request.task_id,
        "asked_at": request.at,
        "answered_at": request.done_at,
        "said": list(said.get("said", [])),
        "error": str(said.get("error", "")),
    }
