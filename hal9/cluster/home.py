"""A cluster's home: where its settings, neurons, packs and state lie, how it is found and made."""

import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from hal9.config import find_database, load_settings
from hal9.database import Place, PostgresPlace
from hal9.errors.cluster import HomeExists, HomeMissing
from hal9.settings import Settings
from hal9.shipped import shipped_data

__all__ = ["Home", "find_home", "init_home", "shared_node"]

_DATA_FOLDERS = ("config", "neurons", "memory")


def shared_node(home_id: str) -> str:
    """The name of a home's daemon among several hosts that share a cluster, by the home's identity."""
    return f"daemon-{home_id}"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one home. Nothing is created by making this object."""

    root: Path

    @property
    def settings_file(self) -> Path:
        """The home's `hal9.yaml`."""
        return self.root / "config" / "hal9.yaml"

    @property
    def neurons(self) -> Path:
        """One promptgram file per neuron."""
        return self.root / "neurons"

    @property
    def packs(self) -> Path:
        """Pattern packs as YAML."""
        return self.root / "memory"

    @property
    def state(self) -> Path:
        """Everything the cluster writes."""
        return self.root / ".hal9"

    @property
    def journal(self) -> Place:
        """Signals, tasks, steps."""
        return self._database("journal")

    @property
    def memory(self) -> Place:
        """Everything learned."""
        return self._database("memory")

    @property
    def budgets(self) -> Place:
        """The accounts."""
        return self._database("budgets")

    def _database(self, name: str) -> Place:
        path = self.state / f"{name}.db"
        found = find_database(self.settings_file)
        return path if found is None else PostgresPlace(found[0], f"{found[1]}_{name}", path)

    @property
    def broker(self) -> Path:
        """The embedded broker's folder."""
        return self.state / "broker"

    @property
    def snapshots(self) -> Path:
        """Copies of workspaces in which turns work; they go with their turns."""
        return self.state / "snapshots"

    @property
    def scratch(self) -> Path:
        """Copies of rehearsals, which no one goes on with; a killed daemon's go at the next start."""
        return self.state / "scratch"

    @property
    def changes(self) -> Path:
        """What turns changed, by task: diffs, undo and patches come from here."""
        return self.state / "changes"

    @property
    def travelling(self) -> Path:
        """Archives of workspaces on their way to other machines, by task."""
        return self.state / "travelling"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.state / "hal9.log"

    @property
    def lock(self) -> Path:
        """Held by the running daemon; holds its process id."""
        return self.state / "daemon.pid"

    @property
    def status(self) -> Path:
        """What the running daemon says of itself."""
        return self.state / "status.json"

    @property
    def access(self) -> Path:
        """Addresses and passwords for local clients of the broker; mode 0600."""
        return self.state / "access.json"

    @property
    def forced(self) -> Path:
        """Left by `hal9 stop --force`: nothing that ran then is to blame for the daemon's end."""
        return self.state / "stopped_by_force"

    def shared_node(self) -> str:
        """The name of this home's daemon among several hosts that share a cluster."""
        return shared_node(self.identity())

    def identity(self) -> str:
        """A random name of this home, drawn once and kept; the folder must be writable the first time."""
        path = self.state / "home_id"
        try:
            found = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            found = ""
        if not found:
            part = path.with_name(f"home_id.{os.getpid()}.part")
            part.write_text(secrets.token_hex(8), encoding="utf-8")
            with contextlib.suppress(FileExistsError):
                os.link(part, path)
            part.unlink()
            found = path.read_text(encoding="utf-8").strip()
        return found

    def settings(self) -> Settings:
        """Read the settings.

        Raises:
            ConfigMissing, ConfigInvalid.
        """
        return load_settings(self.settings_file)

    def make_state(self) -> None:
        """Create the state folder, readable by its owner only."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.snapshots.mkdir(mode=0o700, exist_ok=True)
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        self.changes.mkdir(mode=0o700, exist_ok=True)


def find_home(given: Path | None = None, *, environ: os._Environ[str] | dict[str, str] = os.environ) -> Home:
    """The home named by the caller or HAL9_HOME, else the nearest one from here upwards.

    Raises:
        HomeMissing: with every place that was tried.
    """
    named = given or (Path(environ["HAL9_HOME"]) if environ.get("HAL9_HOME") else None)
    if named is not None:
        home = Home(named.expanduser().absolute())
        if not home.settings_file.is_file():
            raise HomeMissing(tried=(str(home.root),))
        return home
    here = Path.cwd()
    for folder in (here, *here.parents):
        home = Home(folder)
        if home.settings_file.is_file() and home.neurons.is_dir():
            return home
    raise HomeMissing(tried=(str(here), "its parent folders"))


def init_home(target: Path | str) -> Home:
    """Write a fresh home: config/, neurons/, memory/ as shipped.

    Raises:
        HomeExists: the target already holds one of these folders.
    """
    target = Path(target).expanduser().absolute()
    for name in _DATA_FOLDERS:
        if (target / name).exists():
            raise HomeExists(path=str(target / name))
    target.mkdir(parents=True, exist_ok=True)
    source = shipped_data()
    for name in _DATA_FOLDERS:
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    _ignore_state(target / ".gitignore")
    return Home(target)


def _ignore_state(file: Path) -> None:
    """Add what git is to ignore of a home; what stood in the file stays as it is."""
    before = file.read_bytes() if file.exists() else b""
    known = {line.strip() for line in before.split(b"\n")}
    new = b"".join(name + b"\n" for name in (b".hal9/", b"uploads/") if name not in known)
    if new:
        file.write_bytes(before + b"\n" * (bool(before) and not before.endswith(b"\n")) + new)
