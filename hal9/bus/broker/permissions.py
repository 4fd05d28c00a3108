"""Who may publish and subscribe to what, in the embedded broker's notation ('.' for '/', '*' for '+')."""

from dataclasses import dataclass

from hal9.bus.topics import check_name

__all__ = ["BrokerUser", "neuron_user", "node_user", "viewer_user"]


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """A login of the embedded broker and its permissions; its password is drawn by the broker."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def node_user(cluster: str, name: str) -> BrokerUser:
    """The daemon: speaks for every neuron it hosts, so it may use all of its cluster's topics."""
    check_name(cluster)
    everything = (f"hal9.{cluster}.>",)
    return BrokerUser(check_name(name), everything, everything)


def neuron_user(cluster: str, name: str) -> BrokerUser:
    """One neuron in a process of its own: speaks only in its own name, hears its own inbox and all status."""
    check_name(cluster)
    check_name(name)
    return BrokerUser(
        name,
        (f"hal9.{cluster}.in.*.*.{name}", f"hal9.{cluster}.ev.{name}.*", f"hal9.{cluster}.st.{name}"),
        (f"hal9.{cluster}.in.{name}.*.*", f"hal9.{cluster}.st.*"),
    )


def viewer_user(cluster: str, name: str = "viewer") -> BrokerUser:
    """Who only watches: hears status and progress, says nothing."""
    check_name(cluster)
    return BrokerUser(check_name(name), (), (f"hal9.{cluster}.st.*", f"hal9.{cluster}.ev.*.*"))
