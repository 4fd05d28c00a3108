"""Applying a change set to a workspace: all of it or nothing, also when the process dies in between.

The order is what makes it safe. New contents and hard links to the old ones are put into a staging folder of
the workspace's own file system; then a plan is written with an fsync, the point from which the change is
finished rather than undone; then names are exchanged, one rename each; then the plan is marked as done.
`recover` finishes or undoes what it finds half way.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hal9.errors.workbench import (
    NotRegularFile,
    PathOutsideWorkspace,
    WorkspaceBusy,
    WorkspaceConflict,
    WorkspaceUnwritable,
)
from hal9.workbench.changes import Change, ChangeSet, Side, load_changes, read_json, write_json
from hal9.workbench.copying import digest_of
from hal9.workbench.handles import FolderHandle, write_all
from hal9.workbench.trees import PART_SUFFIX

__all__ = ["ChangeApplier", "apply_changes", "locked", "recover"]

Direction = Literal["forward", "back"]
_PLAN = "carry.json"
_LOCK_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.05
_LARGEST_COMPARED = 1024 * 1024 * 1024


@contextlib.contextmanager
def locked(root: FolderHandle, *, shared: bool, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keep other tasks from changing a workspace while it is copied, or from looking while it is changed.

    Raises:
        WorkspaceBusy: somebody else has held it for `seconds`.
    """
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root.fd)
    until = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise WorkspaceBusy(path=str(root.path), seconds=seconds) from error
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                break  # a file system without locks: the checks of every file remain
        yield
    finally:
        os.close(fd)


def apply_changes(kept: ChangeSet, root: Path, *, direction: Direction = "forward") -> None:
    """Make the changes in the workspace (or take them back), all or none.

    Raises:
        WorkspaceConflict: files changed meanwhile; nothing was changed.
        WorkspaceUnwritable: the file system refused; nothing was changed.
        WorkspaceMissing, WorkspaceBusy.
    """
    with FolderHandle(root) as handle, locked(handle, shared=False):
        ChangeApplier(kept, handle, direction).run()


def recover(folder: Path) -> Literal["nothing", "finished", "undone"]:
    """Finish or undo what a killed process left half way in a change set's folder.

    Raises:
        WorkspaceConflict: files were changed since, so that it can be neither finished nor undone as a
            whole; what could be put back is.
        WorkspaceMissing: the workspace is gone.
    """
    plan = _open_plan(folder)
    if plan is None:
        return "nothing"
    with FolderHandle(Path(plan["root"])) as handle, locked(handle, shared=False):
        # Whoever was at it may just have finished: only now it is nobody's.
        plan = _open_plan(folder)
        if plan is None:
            return "nothing"
        carrier = ChangeApplier(load_changes(folder), handle, plan["direction"])
        carrier.staging = plan["staging"]
        if plan["state"] == "staging":
            carrier.clean_up("undone")
            return "undone"
        carrier.exchange()
        carrier.clean_up("done")
        return "finished"


def _open_plan(folder: Path) -> dict[str, Any] | None:
    try:
        plan: dict[str, Any] = read_json(folder / _PLAN)
    except FileNotFoundError:
        return None
    return None if plan["state"] == "done" else plan


@dataclass(slots=True)
class ChangeApplier:
    """One carry-over under the workspace's lock."""

    kept: ChangeSet
    root: FolderHandle
    direction: Direction
    staging: str = ""

    def run(self) -> None:
        """Check, stage, commit, exchange."""
        conflicts = self._conflicts()
        if conflicts:
            raise WorkspaceConflict(root=str(self.root.path), conflicts=conflicts)
        todo = [(at, change) for at, change in enumerate(self._changes()) if not self._is_done(change)]
        if not todo:
            self._plan("done")
            return
        self.staging = f".{os.urandom(8).hex()}{PART_SUFFIX}"
        self._plan("staging")
        try:
            self.root.make_folder(self.staging)
            for at, change in todo:
                self._stage(at, change)
            with self.root.parent_of(f"{self.staging}/x") as (fd, _):
                os.fsync(fd)
        except (OSError, NotRegularFile) as error:
            self.clean_up("undone")
            raise WorkspaceUnwritable(path=str(self.root.path), detail=str(error)) from error
        self._plan("committed")
        self.exchange()
        self.clean_up("done")

    def exchange(self) -> None:
        """Put the staged contents in place; what was done already is not done again.

        Raises:
            WorkspaceConflict, WorkspaceUnwritable: everything was put back.
        """
        done: list[tuple[int, Change]] = []
        try:
            for at, change in enumerate(self._changes()):
                if self._is_done(change):
                    done.append((at, change))
                    continue
                problem = self._conflict(change)
                if problem and not self._is_between(change):
                    raise WorkspaceConflict(  # noqa: TRY301 - undone below like any other failure
                        root=str(self.root.path), conflicts=((change.path, problem),)
                    )
                done.append((at, change))
                self._exchange_one(at, change)
        except (OSError, NotRegularFile, WorkspaceConflict) as error:
            for at, change in reversed(done):
                with contextlib.suppress(OSError, NotRegularFile):
                    self._put_back(at, change)
            self.clean_up("undone")
            if isinstance(error, WorkspaceConflict):
                raise
            raise WorkspaceUnwritable(path=str(self.root.path), detail=str(error)) from error

    def clean_up(self, state: Literal["done", "undone"]) -> None:
        """Remove the staging folder and say how it ended."""
        if self.staging:
            with contextlib.suppress(OSError):
                self.root.remove_tree(self.staging)
        if state == "undone":
            (self.kept.folder / _PLAN).unlink(missing_ok=True)
        else:
            self._plan("done")

    def _plan(self, state: str) -> None:
        plan = {
            "state": state,
            "root": str(self.root.path),
            "staging": self.staging,
            "direction": self.direction,
        }
        write_json(self.kept.folder / _PLAN, plan)

    # --- one change -------------------------------------------------------------------------------

    def _changes(self) -> list[Change]:
        """Folders are made before what is in them, and removed after it."""
        if self.direction == "forward":
            changes = list(self.kept.changes)
        else:
            changes = [
                Change(path=change.path, before=change.after, after=change.before)
                for change in self.kept.changes
            ]
        removed = [change for change in changes if change.after is None]
        removed.sort(key=lambda change: change.path, reverse=True)
        replaced = [change for change in changes if change.after is not None and _other_kind(change)]
        made = [change for change in changes if change.after is not None and not _other_kind(change)]
        # A folder that becomes a file must be empty by then; a file that becomes a folder must be gone.
        files = [change for change in replaced if change.before and change.before.kind != "folder"]
        folders = [change for change in replaced if change.before and change.before.kind == "folder"]
        order = (
            sorted(files, key=_path),
            removed,
            sorted(folders, key=_path, reverse=True),
            sorted(made, key=_path),
        )
        return [change for group in order for change in group]

    def _conflicts(self) -> tuple[tuple[str, str], ...]:
        found = []
        for change in self.kept.changes if self.direction == "forward" else self._changes():
            if not self._is_done(change):
                problem = self._conflict(change)
                if problem:
                    found.append((change.path, problem))
        return tuple(found)

    def _conflict(self, change: Change) -> str:  # noqa: PLR0911 - one sentence per case
        """Why a change cannot be made any more; "" when it can."""
        try:
            now = self.root.look(change.path)
        except PathOutsideWorkspace:
            return "not a path of the workspace"
        before = change.before
        if before is None:
            if now is None or (now.kind == "folder" and change.after and change.after.kind == "folder"):
                return self._way_blocked(change.path)
            return f"a {now.kind} stands there that the task did not see"
        if now is None:
            return "it was removed meanwhile" if change.after is not None else ""
        if now.kind != before.kind:
            return f"it is a {now.kind} now"
        if before.kind == "folder":
            return ""
        if before.kind == "link":
            return "" if now.target == before.target else "the link leads elsewhere now"
        if change.original is not None and now.unchanged_since(change.original):
            return ""
        if before.digest and self._digest(change.path, now.size) == before.digest:
            return ""
        return "it was changed meanwhile"

    def _is_between(self, change: Change) -> bool:
        """A folder that becomes a file, or a file that becomes one, is gone for a moment."""
        before, after = change.before, change.after
        if before is None or after is None or (before.kind == "folder") == (after.kind == "folder"):
            return False
        return self.root.look(change.path) is None

    def _way_blocked(self, path: str) -> str:
        names = path.split("/")[:-1]
        mine = {change.path for change in self.kept.changes}
        for depth in range(1, len(names) + 1):
            above = "/".join(names[:depth])
            now = self.root.look(above)
            if now is None:
                return ""
            if now.kind != "folder" and above not in mine:
                return f"{above} is a {now.kind} now"
        return ""

    def _is_done(self, change: Change) -> bool:
        """Whether the workspace is already as the change wants it."""
        now = self.root.look(change.path)
        after = change.after
        if after is None or now is None:
            return after is None and now is None
        if now.kind != after.kind:
            return False
        if after.kind == "folder":
            return True
        if after.kind == "link":
            return now.target == after.target
        same = now.size == after.size and now.mode == after.mode
        return same and bool(after.digest) and self._digest(change.path, now.size) == after.digest

    def _digest(self, path: str, size: int) -> str:
        if size > _LARGEST_COMPARED:
            return "too large"
        try:
            return digest_of(self.root.read(path, limit=size))
        except (OSError, NotRegularFile):
            return "unreadable"

    def _stage(self, at: int, change: Change) -> None:
        """Put the new content, and a second name of the old one, into the staging folder."""
        if change.before is not None and change.before.kind == "file":
            with (
                self.root.parent_of(change.path) as (fd, name),
                self.root.parent_of(f"{self.staging}/x") as (to, _),
            ):
                try:
                    os.link(name, f"b{at}", src_dir_fd=fd, dst_dir_fd=to, follow_symlinks=False)
                except OSError:
                    # No hard links here: a copy serves as well.
                    old = self.root.read(change.path, limit=_LARGEST_COMPARED)
                    self.root.write(f"{self.staging}/b{at}", old, mode=change.before.mode)
        after = change.after
        if after is None or after.kind == "folder":
            return
        if after.kind == "link":
            self.root.link(f"{self.staging}/a{at}", after.target)
            return
        data = self.kept.content(after)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "its new content is not kept any more", change.path)
        with self.root.parent_of(f"{self.staging}/x") as (to, _):
            made = os.open(f"a{at}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=to)
            try:
                write_all(made, data)
                self._like_the_original(made, change)
                os.fchmod(made, after.mode)
                os.fsync(made)
            finally:
                os.close(made)

    def _like_the_original(self, made: int, change: Change) -> None:
        """Owner and extended attributes of the file that is replaced; of the folder for a new one."""
        model = self._status(change.path)
        if os.geteuid() == 0:
            owner = model or os.fstat(self.root.fd)
            os.fchown(made, owner.st_uid, owner.st_gid)
        if model is None or not stat.S_ISREG(model.st_mode) or not hasattr(os, "listxattr"):
            return
        with self.root.open_file(change.path) as (file, _), contextlib.suppress(OSError):
            for name in os.listxattr(file):
                os.setxattr(made, name, os.getxattr(file, name))

    def _status(self, path: str) -> os.stat_result | None:
        try:
            with self.root.parent_of(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotRegularFile):
            return None

    def _exchange_one(self, at: int, change: Change) -> None:
        before, after = change.before, change.after
        if before is not None and (after is None or "folder" in (before.kind, after.kind)):
            self._take_away(change.path, before)
        if after is None:
            return
        if after.kind == "folder":
            self.root.make_folder(change.path)
        else:
            self._into_place(f"a{at}", change.path, after)

    def _take_away(self, path: str, what: Side) -> None:
        if what.kind != "folder":
            self.root.remove(path)
            return
        try:
            with self.root.parent_of(path) as (fd, name):
                os.rmdir(name, dir_fd=fd)
        except FileNotFoundError:
            return
        except OSError as error:
            # Somebody, or a cache, still has files in it: then the folder stays.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _into_place(self, staged: str, path: str, side: Side) -> None:
        with (
            self.root.parent_of(f"{self.staging}/x") as (source, _),
            self.root.parent_of(path, create=True) as (fd, name),
        ):
            try:
                os.replace(staged, name, src_dir_fd=source, dst_dir_fd=fd)
                os.fsync(fd)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return
        # Another file system is mounted inside the workspace: made anew there.
        if side.kind == "link":
            self.root.remove(path)
            self.root.link(path, side.target)
            return
        data = self.root.read(f"{self.staging}/{staged}", limit=side.size)
        self.root.write(path, data, mode=side.mode)

    def _put_back(self, at: int, change: Change) -> None:
        """What stood there before one change."""
        before, after = change.before, change.after
        now = self.root.look(change.path)
        if before is None:
            if now is not None and after is not None and self._is_done(change):
                self._take_away(change.path, after)
        elif before.kind == "folder":
            if now is not None and now.kind != "folder":
                self.root.remove(change.path)
            self.root.make_folder(change.path)
        elif before.kind == "link":
            if now is not None and self._is_done(change):
                self._take_away(change.path, after or before)
                now = self.root.look(change.path)
            if now is None:
                self.root.link(change.path, before.target)
        else:
            if now is not None and now.kind == "folder":
                self._take_away(change.path, Side("folder", 0o755))
                now = self.root.look(change.path)
            if self._status(f"{self.staging}/b{at}") is not None and (now is None or self._is_done(change)):
                self._into_place(f"b{at}", change.path, before)


def _path(change: Change) -> str:
    return change.path


def _other_kind(change: Change) -> bool:
    return change.before is not None and change.after is not None and change.before.kind != change.after.kind
