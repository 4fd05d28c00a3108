"""Whether there is a neuron that a task could be given to by name."""

import difflib
import fnmatch

from hal9.cluster.home import Home
from hal9.cluster.supervision.process import read_status
from hal9.errors.cluster import TaskInvalid

__all__ = ["check_addressee", "known_neurons"]


def known_neurons(home: Home) -> dict[str, int]:
    """Neurons with their layers: those the home describes, and those that run elsewhere in its cluster."""
    from hal9.neurons import known_purposes  # noqa: PLC0415 - only tasks that name a neuron

    status = read_status(home)
    found: dict[str, int] = {name: one.layer for name, one in known_purposes(home.neurons).items()}
    for node in dict(status.get("nodes") or {}).values():
        found.update(node.get("neurons") or {})
    return found


def check_addressee(home: Home, wanted: str) -> None:
    """Look for the neuron (or pattern) a task is given to.

    Raises:
        TaskInvalid: nobody answers to it; names the nearest.
    """
    known = known_neurons(home)
    if fnmatch.filter(known, wanted):
        return
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    raise TaskInvalid(problem=f"there is no neuron {wanted!r}; {hint}")
