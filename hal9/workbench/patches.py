"""What a task changed, after it: found again by its id, applied, taken back, or committed to a branch."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.workbench import BranchFailed, ChangesMissing, WorkspaceConflict
from hal9.workbench.applying import apply_changes
from hal9.workbench.changes import ChangeSet, load_changes, read_json
from hal9.workbench.git_state import find_git_folders
from hal9.workbench.handles import FolderHandle
from hal9.workbench.merging import combine, concerns_folder, write_onto

__all__ = ["PARTS", "TaskChanges", "find_changes"]

PARTS = "parts"
"""Folder beside a task's change sets for those of its parts, which are merged into one."""

_COMBINED = "combined"
_GIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """All that one task changed.

    Attributes:
        kept: the net change.
        carried: whether it stands in the workspace: "all", "none", or "some" of its turns' changes.
    """

    kept: ChangeSet
    carried: str

    def apply(self) -> None:
        """Carry the changes over into the workspace; what stands there already is left.

        Raises:
            WorkspaceConflict, WorkspaceUnwritable, WorkspaceMissing, WorkspaceBusy.
        """
        apply_changes(self.kept, Path(self.kept.root))

    def take_back(self) -> None:
        """Make the workspace what it was before the task.

        Raises:
            WorkspaceConflict, WorkspaceUnwritable, WorkspaceMissing, WorkspaceBusy.
        """
        apply_changes(self.kept, Path(self.kept.root), direction="back")

    def commit(self, branch: str, message: str) -> str:
        """Commit the changes to a new branch, without touching the working tree; never pushes.

        Returns:
            The commit's id.

        Raises:
            BranchFailed: no repository, the branch exists, git refuses.
            WorkspaceConflict: the repository's last commit differs where the task changed something.
        """
        root = Path(self.kept.root)
        top = Path(_git(root, "rev-parse", "--show-toplevel"))
        _git(root, "check-ref-format", "--branch", branch)
        with tempfile.TemporaryDirectory(prefix="hal9-branch-") as scratch:
            tree = Path(scratch) / "tree"
            _git(root, "worktree", "add", "-q", "-b", branch, str(tree), "HEAD")
            done = False
            try:
                below = tree / root.resolve().relative_to(top.resolve())
                below.mkdir(parents=True, exist_ok=True)
                with FolderHandle(below) as handle:
                    conflicts = write_onto(self.kept, handle)
                if conflicts:
                    told = tuple((path, f"in the last commit {why}") for path, why in conflicts)
                    raise WorkspaceConflict(root=str(below), conflicts=told)
                paths = [change.path for change in self.kept.changes if not concerns_folder(change)]
                _git(below, "add", "-A", "-f", "--", *paths)
                _git(below, "-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", message)
                commit = _git(below, "rev-parse", "HEAD")
                done = True
            finally:
                _git(root, "worktree", "remove", "--force", str(tree))
                if not done:
                    _git(root, "branch", "-q", "-D", branch)
        return commit


def find_changes(changes: Path, task_id: str) -> TaskChanges:
    """What a task changed, out of a home's folder of change sets.

    Raises:
        ChangesMissing: nothing is kept of it.
        SnapshotDamaged: what is kept cannot be read.
    """
    folder = changes / task_id
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found: list[tuple[ChangeSet, bool]] = []
    for name in names:
        if name not in (_COMBINED, PARTS) and (folder / name / "changes.json").exists():
            kept = load_changes(folder / name)
            if kept.changes:
                found.append((kept, _is_carried(kept)))
    if not found:
        detail = "it changed no file, or its changes were made on another machine or are too old"
        raise ChangesMissing(task_id=task_id, detail=detail)
    # A turn that failed and was done anew by another one leaves a change set that was never carried over.
    taken = [kept for kept, carried in found if carried] or [found[-1][0]]
    states = {carried for _, carried in found}
    carried = "none" if True not in states else "all"
    if len(taken) == 1:
        return TaskChanges(taken[0], carried)
    return TaskChanges(combine(taken, folder / _COMBINED), carried)


def _is_carried(kept: ChangeSet) -> bool:
    try:
        plan = read_json(kept.folder / "carry.json")
    except FileNotFoundError:
        return False
    return bool((plan["state"], plan["direction"]) == ("done", "forward"))


def _git(folder: Path, *arguments: str) -> str:
    if find_git_folders(folder) is None and not any((above / ".git").exists() for above in folder.parents):
        raise BranchFailed(path=str(folder), detail="it is not in a git repository")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder, env={**environment, "GIT_TERMINAL_PROMPT": "0"}, capture_output=True,
            timeout=_GIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BranchFailed(path=str(folder), detail=str(error)) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise BranchFailed(path=str(folder), detail=said or f"git {arguments[0]} failed")
    return done.stdout.decode("utf-8", "surrogateescape").strip()
