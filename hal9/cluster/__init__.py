"""The cluster: the daemon, its scheduler, and the Python client.

async with hal9.connect(home) as cluster:
    task_id = await cluster.submit("…", workspace=folder, check="pytest -q")
    task = await cluster.wait(task_id)

Submodules load when their names are first used: a client loads nothing of the daemon.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.cluster.client import Cluster, connect, task_as_json
    from hal9.cluster.daemon import Daemon
    from hal9.cluster.home import Home, find_home, init_home
    from hal9.cluster.submission import Submission
    from hal9.cluster.supervision.process import daemon_pid, read_status, start_detached, stop_daemon

_HOMES = {
    "client": ("Cluster", "connect", "task_as_json"),
    "daemon": ("Daemon",),
    "home": ("Home", "find_home", "init_home"),
    "supervision.process": ("daemon_pid", "read_status", "start_detached", "stop_daemon"),
    "submission": ("Submission",),
}

__all__ = [
    "Cluster",
    "Daemon",
    "Home",
    "Submission",
    "connect",
    "daemon_pid",
    "find_home",
    "init_home",
    "read_status",
    "start_detached",
    "stop_daemon",
    "task_as_json",
]

__getattr__ = lazy_names(__name__, _HOMES)
