"""What a task's commands see: the system, the tools, the workspace; nothing else, if the kernel allows it.

Inside bubblewrap everything is absent that is not named here. The workspace's own path shows the copy, so
that what was installed "editable", and every path in a message, is right. The home folder is an empty one in
memory. Limits of time, memory and disk are kept by `process_supervisor`.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hal9.errors.workbench import SandboxUnavailable
from hal9.settings import WorkbenchSettings
from hal9.workbench.running.environments import Environment, find_environment, tool_folders

__all__ = ["Sandbox", "View", "choose_sandbox", "command_environment"]

# Only these variables reach a task's commands: no provider key ever does.
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "HOME", "USER", "LOGNAME", "JAVA_HOME")
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/snap",
)
# Of /etc only what programs need to run; no keys, no password hashes, no settings of services.
_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version",
    "fonts", "gai.conf", "group", "host.conf", "hostname", "hosts", "java-*", "jvm*", "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "lsb-release", "magic", "maven", "mime.types",
    "networks", "nsswitch.conf", "os-release", "passwd", "perl", "pki", "profile", "protocols", "python3*",
    "resolv.conf", "rpc", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "static",
    "terminfo", "timezone",
)  # fmt: skip
_SUPERVISOR = Path(__file__).with_name("process_supervisor.py")
_SUPERVISOR_SEEN = "/run/hal9/process_supervisor.py"
_MEGA = 1024 * 1024


@dataclass(frozen=True, slots=True)
class View:
    """What the commands of one turn see.

    Attributes:
        tree: the copy they work in.
        seen_at: the workspace's own path, where the copy appears inside the sandbox.
        folder: the snapshot's folder; git reads the original's objects through links in it.
        shared: folders of the workspace, relative, that are seen read-only instead of copied.
        network: whether the network is there.
        hidden: never visible, also when a folder above is named.
        environment: the Python environment that was active when the task was given.
    """

    tree: Path
    seen_at: Path
    folder: Path
    shared: tuple[str, ...] = ()
    network: bool = False
    hidden: tuple[Path, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How commands are kept apart; `warning` says once what is missing when they are not."""

    kind: Literal["bubblewrap", "none"]
    warning: str = ""

    def supervised(self, view: View, settings: WorkbenchSettings, found: Environment) -> list[str]:
        """The command line of the process that runs a turn's commands."""
        # The plain interpreter, without site packages: nothing of a workspace can change what it runs.
        python = [os.path.realpath(sys.executable), "-I", "-S", "-B"]
        if self.kind == "none":
            return [*python, str(_SUPERVISOR)]
        return [
            "bwrap", "--die-with-parent", "--new-session", "--unshare-all", "--cap-drop", "ALL", "--as-pid-1",
            *(["--share-net"] if view.network else []),
            *self._mounts(view, settings, found),
            "--chdir", str(view.seen_at), "--", *python, _SUPERVISOR_SEEN,
        ]  # fmt: skip

    def confined(
        self,
        view: View,
        settings: WorkbenchSettings,
        found: Environment,
        argv: Sequence[str],
        *,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> list[str]:
        """The command line of one program in the same world, with the network and its own places besides.

        For programs that are no command of a task: an agent that works in the copy, and keeps its login in a
        folder of its own.
        """
        if self.kind == "none":
            return list(argv)
        home = Path.home()
        own = [
            word
            for how, places in (("--ro-bind", readable), ("--bind", writable))
            for place in places
            # A folder that holds the home or the workspace would undo the allow-list.
            if not (_in_system(place) or home.is_relative_to(place) or view.seen_at.is_relative_to(place))
            if not place.is_relative_to(view.seen_at)
            for word in (how, str(place), str(place))
        ]
        return [
            "bwrap", "--die-with-parent", "--new-session", "--unshare-all", "--share-net",
            "--cap-drop", "ALL", *self._mounts(view, settings, found), *own,
            "--chdir", str(view.seen_at), "--", *argv,
        ]  # fmt: skip

    def _mounts(self, view: View, settings: WorkbenchSettings, found: Environment) -> Iterator[str]:
        home = Path.home()
        size = ["--size", str(settings.temporary_mb * _MEGA)]
        for name in _SYSTEM:
            yield from _same(name)
        for pattern in _ETC:
            for path in sorted(Path("/etc").glob(pattern)):
                yield from ("--ro-bind", str(path), str(path))
        yield from ("--dev", "/dev", "--proc", "/proc")
        for place in ("/tmp", "/var/tmp", "/run", str(home)):
            yield from (*size, "--tmpfs", place)
        for folder in _readable(view, settings, found, home):
            yield from ("--ro-bind", str(folder), str(folder))
        for folder in view.hidden:
            # A readable folder may hold one that is not.
            if folder.is_dir() and any(
                folder.is_relative_to(one) for one in _readable(view, settings, found, home)
            ):
                yield from ("--tmpfs", str(folder))
        yield from ("--bind", str(view.tree), str(view.seen_at))
        for relative in view.shared:
            yield from ("--ro-bind", str(view.seen_at / relative), str(view.seen_at / relative))
        yield from _git_objects(view)
        yield from ("--ro-bind", str(_SUPERVISOR), _SUPERVISOR_SEEN)


def _git_objects(view: View) -> Iterator[str]:
    """The objects of the original's repositories, read-only, where the copy's repositories look for them."""
    for link in sorted(view.folder.glob("objects-*")):
        real = Path(os.path.realpath(link))
        yield from ("--ro-bind", str(real), str(link))
        if not link.name.endswith("-0") and not real.is_relative_to(view.seen_at):
            # The first store names the ones that it borrows from by their own paths.
            yield from ("--ro-bind", str(real), str(real))


def _same(path: str) -> list[str]:
    """A part of the system as it is here: a link stays one."""
    if Path(path).is_symlink():
        return ["--symlink", str(Path(path).readlink()), path]
    return ["--ro-bind", path, path] if Path(path).exists() else []


def _readable(view: View, settings: WorkbenchSettings, found: Environment, home: Path) -> Sequence[Path]:
    """Tools, environments and extra folders, outermost first; what the system has already is left out."""
    interpreters = [
        Path(sys.base_prefix),
        Path(os.path.realpath(sys.executable)).parent.parent,
        Path(sys.prefix),
    ]
    wanted = [*tool_folders(home), *interpreters, *found.needs]
    if found.folder is not None:
        wanted.append(found.folder)
    wanted += [Path(path).expanduser() for path in settings.read_only_folders]
    kept: dict[Path, None] = {}
    for path in sorted(wanted, key=lambda path: len(path.parts)):
        # The workspace shows the copy; a folder that holds all of the home would undo the allow-list.
        above = view.seen_at.is_relative_to(path) or home.is_relative_to(path)
        if path.is_dir() and not above and not path.is_relative_to(view.seen_at) and not _in_system(path):
            kept[path] = None
    return list(kept)


def _in_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _SYSTEM)


def command_environment(
    view: View, settings: WorkbenchSettings, kind: str
) -> tuple[dict[str, str], Environment]:
    """Variables for a turn's commands, and the Python environment that stands first in PATH."""
    found = find_environment(view.seen_at, given=view.environment, configured=settings.environment)
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    own = str(Path(sys.executable).parent)
    path = [one for one in os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(os.pathsep) if one]
    if own in path and found.folder is not None:
        path.remove(own)
    # HAL9's own programs come last: `python` is found on a machine that has none by this name, and a
    # project's environment is never shadowed.
    search = [*path, own] if own not in path else path
    if passed.get("LANG") == "C.UTF-8":
        # Only its characters differ from C: named so, each program opens one file instead of twelve.
        passed = {"LC_CTYPE": passed.pop("LANG"), **passed}
    variables = {
        "HOME": str(Path.home()),
        "SHELL": "/bin/bash",  # else each bash asks the user database which one it is
        **passed,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "HAL9_WORKBENCH": "1",
    }
    if found.folder is not None and found.programs is not None:
        search = [str(found.programs), *search]
        name = "CONDA_PREFIX" if (found.folder / "conda-meta").is_dir() else "VIRTUAL_ENV"
        variables[name] = str(found.folder)
    if kind == "none" and found.editable:
        # Installed "editable", the workspace itself would be imported: its copy goes first.
        variables["PYTHONPATH"] = os.pathsep.join(str(view.tree / source) for source in found.editable)
    variables["PATH"] = os.pathsep.join(search)
    return variables, found


@functools.cache
def _bubblewrap_problem() -> str:
    """Why bubblewrap cannot be used here; empty when it can."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed (Debian: apt install bubblewrap)"
    probe = [
        "bwrap", "--unshare-all", "--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev",
        "--proc", "/proc", "--size", str(_MEGA), "--tmpfs", "/tmp", "true",
    ]  # fmt: skip
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not run: {error}"
    return "" if done.returncode == 0 else f"bwrap does not run: {done.stderr.strip()[:200]}"


def choose_sandbox(isolation: Literal["auto", "bubblewrap", "none"]) -> Sandbox:
    """The sandbox for a setting of `workbench.isolation`.

    Raises:
        SandboxUnavailable: bubblewrap is required and cannot be used.
    """
    if isolation == "none":
        return Sandbox(kind="none")
    problem = _bubblewrap_problem()
    if not problem:
        return Sandbox(kind="bubblewrap")
    if isolation == "bubblewrap":
        raise SandboxUnavailable(detail=problem)
    return Sandbox(
        kind="none",
        warning=f"commands run without a sandbox: {problem}. They can reach the network and your files.",
    )
