"""The copy of a workspace in which one turn works; the workspace itself changes once, when the turn succeeds.

On disk, in the snapshot's own folder: `tree/` (the copy), `base.json` (what was copied, and how it looked),
`marks.jsonl` and `blobs/` (what changed up to each recorded step). All file work is done in worker threads,
through directory handles: the event loop never opens a file of a workspace. (Of a small copy it looks at the
names and times after a command: most commands change nothing.)
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hal9.errors.workbench import WorkspaceMissing
from hal9.settings import WorkbenchSettings
from hal9.signals import FileChange
from hal9.workbench.applying import apply_changes, locked, recover
from hal9.workbench.changes import ChangeSet, load_changes, read_json
from hal9.workbench.copying import CopiedTree, TreeCopier, load_base, save_base
from hal9.workbench.file_threads import FileThreads
from hal9.workbench.git_state import find_git_folders, write_git_copy
from hal9.workbench.handles import Entry, FolderHandle, names_in, parts_of, remove_all
from hal9.workbench.marks import MarkLog
from hal9.workbench.running.commands import CommandResult, CommandRunner
from hal9.workbench.running.environments import Environment
from hal9.workbench.running.sandbox import View, choose_sandbox
from hal9.workbench.secrets import left_out_because
from hal9.workbench.tracking import BEGUN, TreeState
from hal9.workbench.trees import WalkLimits, is_dependency_folder
from hal9.workbench.upkeep import remove_snapshot

__all__ = ["Place", "Snapshot", "WorkbenchSettings"]

# Two writes within one tick of a kernel's clock cannot be told apart by their times.
_TICK_SECONDS = 0.02
# So many entries are looked at sooner than a thread wakes up: most commands change nothing.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn works, and where its records lie.

    Attributes:
        workspace: the directory of the user's.
        folder: the snapshot's own folder; made when missing, continued when it is there.
        changes: where the change set is kept; None keeps it in `folder`.
        hidden: folders that no command may see (the home's state).
        environment: the environment's folder (`VIRTUAL_ENV`) that was active when the task was given.
        remove: files that the copy begins without.
        seen_as: where commands see it when `workspace` is itself a copy: the path of the original.
        begins: folder of a change set that the copy begins with; its changes count as the turn's own.
    """

    workspace: Path
    folder: Path
    changes: Path | None = None
    hidden: tuple[Path, ...] = ()
    environment: str = ""
    remove: tuple[str, ...] = ()
    seen_as: Path | None = None
    begins: Path | None = None


@dataclass(slots=True)
class Snapshot:
    """One turn's copy of a workspace. Use it with `async with`; leaving keeps it, `discard` ends it.

    Args:
        place: where.
        settings: limits, sandbox, shared folders.
        network: whether commands may use the network.
        mark: what a continued snapshot goes back to: None the last mark, "" the base, else a mark's label.
        carrier: carries the changes over where the workspace is, when `place.workspace` was fetched from
            another machine; what it raises leaves everything as it is.

    Raises:
        WorkspaceMissing, WorkspaceRefused, WorkspaceTooLarge, WorkspaceBusy, SnapshotDamaged, MarkUnknown.
        SandboxUnavailable: isolation is required and impossible here.
    """

    place: Place
    settings: WorkbenchSettings = field(default_factory=WorkbenchSettings)
    network: bool = False
    mark: str | None = None
    carrier: Callable[[ChangeSet], Awaitable[None]] | None = None
    continued: bool = field(default=False, init=False)
    accepted: ChangeSet | None = field(default=None, init=False)
    copied: CopiedTree = field(default_factory=CopiedTree, init=False)
    _tree: FolderHandle = field(init=False)
    _state: TreeState = field(init=False)
    _runner: CommandRunner | None = field(default=None, init=False)
    _pool: FileThreads = field(init=False)
    _settled: float = field(default=0.0, init=False)

    # --- opening and closing ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._pool = FileThreads()
        try:
            await self._pool.run(self._open, seconds=None)
        except BaseException:
            self._pool.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop_commands()
        self._tree.__exit__()
        self._pool.close()

    @property
    def root(self) -> Path:
        """The copy. Commands in a sandbox see it at the workspace's own path."""
        return self.place.folder / "tree"

    @property
    def workspace(self) -> Path:
        """The original."""
        return self.place.workspace

    @property
    def seen_at(self) -> Path:
        """Where commands in a sandbox see the copy."""
        return self.place.seen_as or self.place.workspace

    @property
    def environment(self) -> Environment | None:
        """The Python environment of its commands; known once one has run."""
        return None if self._runner is None else self._runner.environment

    @property
    def marks(self) -> list[str]:
        """Labels of the marks so far, in order."""
        return list(self._state.marks.labels)

    def note_of(self, label: str) -> dict[str, Any] | None:
        """What was written with the mark of this label, if it is the last one."""
        marks = self._state.marks
        return marks.note if label in marks.labels[-1:] else None

    def _open(self, stop: threading.Event) -> None:
        if not self.place.workspace.is_dir():
            raise WorkspaceMissing(path=str(self.place.workspace))
        # Links on the way to the workspace are the user's; inside the sandbox there is only the real path.
        # Commands run elsewhere: nothing may depend on where this process happens to be.
        self.place = replace(
            self.place, workspace=self.place.workspace.resolve(), folder=self.place.folder.absolute()
        )
        self.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.continued = False
        if (self.place.folder / "base.json").exists():
            self._reopen(stop)
            return
        self._make(stop)

    def _make(self, stop: threading.Event) -> None:
        folder = self.place.folder
        _empty(folder)  # what an interrupted copying left
        self.root.mkdir(mode=0o700)
        (folder / "blobs").mkdir()
        self._tree = FolderHandle(self.root)
        limits = self._limits(stop)
        rule = left_out_because(self.place.workspace, visible=frozenset(self.settings.visible_files))
        removed = frozenset(self.place.remove)
        copier = TreeCopier(
            limits,
            left_out=lambda path: "left out for this try" if path in removed else rule(path),
            shared=self._is_shared,
        )
        self._tree.__enter__()
        try:
            with FolderHandle(self.place.workspace) as original, locked(original, shared=True):
                self.copied = copier.copy(original, self._tree)
            if choose_sandbox(self.settings.isolation).kind == "none":
                self._link_shared()
            for number, prefix in enumerate(self.copied.repositories):
                self._git(number, prefix, limits)
            self._begin()
            self._state.record_git(self._limits(stop))
            if self.place.begins is not None:
                self._state.begin_with(load_changes(self.place.begins), limits)
            save_base(folder, self.place.workspace, self.copied)
        except BaseException:
            self._tree.__exit__()
            raise
        self._settled = time.monotonic() + _TICK_SECONDS

    def _link_shared(self) -> None:
        """Without a sandbox nothing can be mounted: links show what is not copied."""
        for path in self.copied.shared:
            self._tree.remove_tree(path)
            self._tree.link(path, str(self.seen_at / path))

    def _is_shared(self, path: str) -> bool:
        """Installed packages, and what the settings name; in the copy of a copy these are empty folders."""
        if path in self.settings.shared_folders:
            return True
        return is_dependency_folder(self.seen_at / path)

    def _git(self, number: int, prefix: str, limits: WalkLimits) -> None:
        folders = find_git_folders(self.place.workspace / prefix)
        if folders is None:
            self.copied.skipped[f"{prefix}.git"] = "no readable repository"
            return
        links = []
        for position, objects in enumerate(folders.objects):
            link = self.place.folder / f"objects-{number}-{position}"
            link.symlink_to(objects)
            links.append(link)
        write_git_copy(folders, self.root / prefix / ".git", links, limits)

    def _reopen(self, stop: threading.Event) -> None:
        self.copied = load_base(self.place.folder, self.place.workspace)
        self.continued = True
        self._tree = FolderHandle(self.root)
        self._tree.__enter__()
        try:
            self._begin()
            recover(self._changes_folder)
            if self._carried():
                self.accepted = load_changes(self._changes_folder)
            else:
                self._state.marks.load()
                self._state.restore(self._back_to(self.mark), self._limits(stop))
        except BaseException:
            self._tree.__exit__()
            raise

    def _back_to(self, label: str | None) -> str | None:
        return BEGUN if label == "" and self.place.begins is not None else label

    def _begin(self) -> None:
        self._state = TreeState(
            workspace=self.place.workspace,
            folder=self.place.folder,
            tree=self._tree,
            copied=self.copied,
            marks=MarkLog(self.place.folder / "marks.jsonl"),
        )

    # --- files --------------------------------------------------------------------------------------

    async def read_bytes(self, path: str, *, limit: int | None = None) -> bytes:
        """Content of a regular file of the copy.

        Raises:
            PathOutsideWorkspace, FileNotFoundError, NotRegularFile, FileTooLarge.
            TimeoutError: the file system does not answer.
        """
        most = self.settings.file_mb * 1024 * 1024 if limit is None else limit
        return await self._pool.run(lambda _: self._state.read(self._inside(path), limit=most))

    async def write(self, path: str, data: bytes) -> None:
        """Replace or create a file in the copy, in one step.

        Raises:
            PathOutsideWorkspace, NotRegularFile, FileTooLarge, WorkspaceUnwritable.
        """
        most = self.settings.file_mb * 1024 * 1024
        await self._pool.run(lambda _: self._state.write(self._inside(path), data, limit=most))

    async def delete(self, path: str) -> None:
        """Remove a file or link of the copy; that there is none is fine.

        Raises:
            PathOutsideWorkspace, NotRegularFile, WorkspaceUnwritable.
        """
        await self._pool.run(lambda _: self._state.remove(self._inside(path)))

    async def look(self, path: str) -> Entry | None:
        """What stands at a path of the copy, not followed; None when nothing does.

        Raises:
            PathOutsideWorkspace.
        """
        return await self._pool.run(lambda _: self._tree.look(self._inside(path)))

    async def paths(self) -> list[str]:
        """All regular files of the copy, sorted."""
        return await self._pool.run(lambda stop: self._state.files(self._limits(stop)))

    def _inside(self, path: str) -> str:
        """Models name files absolutely too: by the path that they see, or by the copy's."""
        for root in (self.seen_at, self.place.workspace, self.root):
            if path.startswith(f"{root}/"):
                return "/".join(parts_of(path, root=root))
        return "/".join(parts_of(path, root=self.place.workspace))

    # --- commands -----------------------------------------------------------------------------------

    async def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_seconds: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CommandResult:
        """Run a command in the copy: a string goes through the shell, a sequence is an argv.

        Raises:
            CommandNotFound: the program of an argv does not exist.
            CommandsUnavailable: the sandbox did not start.
        """
        # A change in the same tick as our last look would be invisible.
        if (left := self._settled - time.monotonic()) > 0:
            await asyncio.sleep(left)
        if self._runner is None:
            self._runner = CommandRunner(await self._pool.run(lambda _: self.view()), self.settings)
        return await self._runner.run(command, timeout_seconds=timeout_seconds, on_output=on_output)

    def view(self) -> View:
        """What its commands see."""
        return View(
            tree=self.root,
            seen_at=self.seen_at,
            folder=self.place.folder,
            shared=tuple(self.copied.shared),
            network=self.network,
            hidden=self.place.hidden,
            environment=self.place.environment,
        )

    async def _stop_commands(self) -> None:
        if self._runner is not None:
            await self._runner.close()
            self._runner = None

    # --- marks, changes, the end --------------------------------------------------------------------

    async def checkpoint(self, label: str, note: dict[str, Any] | None = None) -> int:
        """Make a durable mark; a snapshot that is opened again after a crash stands there.

        Args:
            label: names it.
            note: written with it, and found again by `note_of`; a mark with a note is made only where
                something changed.

        Returns:
            How many entries changed since the mark before.
        """
        if note is not None and self._state.looks_unchanged(most=_AT_ONCE):
            return 0
        changed = await self._pool.run(
            lambda stop: self._state.mark(label, self._limits(stop), note), seconds=None
        )
        if changed:
            self._settled = time.monotonic() + _TICK_SECONDS
        return changed

    async def restore(self, label: str = "") -> None:
        """Put the copy back to a mark; "" is the base, or what the copy began with.

        Files that come back from the base are taken from the workspace as it is now.
        """
        wanted = self._back_to(label)
        await self._pool.run(lambda stop: self._state.restore(wanted, self._limits(stop)), seconds=None)
        self._settled = time.monotonic() + _TICK_SECONDS

    async def changes(self) -> list[FileChange]:
        """What differs from the base, whoever changed it; diffs are bounded, `keep` has them whole."""
        return (await self.keep()).shown()

    async def keep(self, note: str = "") -> ChangeSet:
        """Write down what differs from the base, with all contents; nothing in the workspace changes."""
        kept = await self._pool.run(
            lambda stop: self._state.change_set(self._changes_folder, self._limits(stop), note), seconds=None
        )
        self._settled = time.monotonic() + _TICK_SECONDS
        return kept

    async def accept(self, note: str = "") -> ChangeSet:
        """Carry the changes over into the workspace, all or none. `note` is found again after a crash.

        Raises:
            WorkspaceConflict: the original was changed meanwhile; nothing was changed.
            WorkspaceUnwritable, WorkspaceMissing, WorkspaceBusy.
        """
        await self._stop_commands()
        kept = await self.keep(note)
        if self.carrier is not None:
            await self.carrier(kept)
        await self.note_accepted(kept)
        return kept

    async def note_accepted(self, kept: ChangeSet) -> None:
        """Carry a change set over into `place.workspace`: it is what the turn came to.

        Raises:
            WorkspaceConflict, WorkspaceUnwritable, WorkspaceMissing, WorkspaceBusy.
        """
        await self._pool.run(lambda _: apply_changes(kept, self.place.workspace), seconds=None)
        self.accepted = kept

    async def discard(self) -> None:
        """Remove the copy and its records; a change set that was kept elsewhere stays."""
        await self._stop_commands()
        await self._pool.run(lambda _: remove_snapshot(self.place.folder), seconds=None)

    @property
    def _changes_folder(self) -> Path:
        return self.place.changes or self.place.folder / "changes"

    def _carried(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            plan = read_json(self._changes_folder / "carry.json")
            return bool((plan["state"], plan["direction"]) == ("done", "forward"))
        return False

    def _limits(self, stop: threading.Event) -> WalkLimits:
        return WalkLimits(
            root=str(self.place.workspace),
            max_entries=self.settings.snapshot_files,
            max_bytes=self.settings.snapshot_mb * 1024 * 1024,
            seconds=self.settings.snapshot_seconds,
            stop=stop,
        )


def _empty(folder: Path) -> None:
    with FolderHandle(folder) as handle:
        remove_all(handle.fd, names_in(handle.fd))
