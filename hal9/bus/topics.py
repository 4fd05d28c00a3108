"""Topics: built and parsed in one place, of fixed depth, from names that every broker takes.

hal9/{cluster}/in/{target}/{kind}/{source}    inboxes; of nodes too, for what they ask (kind `exchange`)
hal9/{cluster}/st/{node}                      retained status with last will
hal9/{cluster}/ev/{source}/{task}             progress, may be lost
"""

import re
from typing import NamedTuple

from hal9.errors.bus import TopicInvalid

__all__ = [
    "EXCHANGE",
    "InboxTopic",
    "check_name",
    "event",
    "every_event",
    "every_status",
    "inbox",
    "inbox_filter",
    "matches",
]
__all__ += ["parse_event", "parse_inbox", "parse_status", "status"]

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_ROOT = "hal9"
EXCHANGE = "exchange"
"""In place of a signal's kind: questions and answers between nodes, which are no signals."""


class InboxTopic(NamedTuple):
    """The parts of an inbox topic."""

    cluster: str
    target: str
    kind: str
    source: str


def check_name(name: str) -> str:
    """Return the name if it can be one level of a topic.

    Raises:
        TopicInvalid: it cannot.
    """
    if _NAME.fullmatch(name) is None:
        raise TopicInvalid(text=name, detail="cannot be a name of 1 to 64 characters in a topic")
    return name


def inbox(cluster: str, target: str, kind: str, source: str) -> str:
    """Where a signal for `target` is published; parts were checked when they were introduced."""
    return f"{_ROOT}/{cluster}/in/{target}/{kind}/{source}"


def inbox_filter(cluster: str, target: str) -> str:
    """What `target` subscribes to."""
    return f"{_ROOT}/{cluster}/in/{target}/+/+"


def status(cluster: str, node: str) -> str:
    """Where a node keeps its retained status."""
    return f"{_ROOT}/{cluster}/st/{node}"


def every_status(cluster: str) -> str:
    """What somebody subscribes to who watches the nodes."""
    return f"{_ROOT}/{cluster}/st/+"


def event(cluster: str, source: str, task_id: str) -> str:
    """Where progress of a task is published."""
    return f"{_ROOT}/{cluster}/ev/{source}/{task_id}"


def every_event(cluster: str) -> str:
    """What somebody subscribes to who watches tasks."""
    return f"{_ROOT}/{cluster}/ev/+/+"


def _levels(topic: str, section: str, depth: int) -> list[str]:
    parts = topic.split("/")
    if len(parts) != depth or parts[0] != _ROOT or parts[2] != section:
        raise TopicInvalid(text=topic, detail=f"is not a topic of the form {_ROOT}/CLUSTER/{section}/…")
    for part in parts:
        check_name(part)
    return parts


def parse_inbox(topic: str) -> InboxTopic:
    """Take an inbox topic apart.

    Raises:
        TopicInvalid: wrong depth, section or characters.
    """
    _, cluster, _, target, kind, source = _levels(topic, "in", 6)
    return InboxTopic(cluster, target, kind, source)


def parse_status(topic: str) -> str:
    """The node a status topic belongs to.

    Raises:
        TopicInvalid: wrong depth, section or characters.
    """
    return _levels(topic, "st", 4)[3]


def parse_event(topic: str) -> tuple[str, str]:
    """Source and task id of a progress topic.

    Raises:
        TopicInvalid: wrong depth, section or characters.
    """
    _, _, _, source, task_id = _levels(topic, "ev", 5)
    return source, task_id


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT filter (with + and #) covers a topic (MQTT 3.1.1, section 4.7)."""
    wanted, found = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(found) or level not in ("+", found[index]):
            return False
    return len(wanted) == len(found)
