"""What a start does about the workbench: finish what a kill left half way, remove what is old."""

import logging
import shutil
from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.workbench.applying import recover
from hal9.workbench.handles import FolderHandle, names_in, remove_all

__all__ = ["remove_snapshot", "tidy"]

_log = logging.getLogger("hal9.workbench.upkeep")


def tidy(snapshots: Path, changes: Path, *, before: float) -> int:
    """Recover every carry-over that was interrupted; remove copies and change sets of before a moment.

    Args:
        snapshots: the folder of turns' copies.
        changes: the folder of change sets, by task.
        before: epoch seconds.

    Returns:
        How many carry-overs were finished or undone.
    """
    recovered = 0
    for plan in sorted(changes.glob("*/*/carry.json")):
        try:
            ended = recover(plan.parent)
        except (WorkbenchError, OSError) as error:
            _log.warning("the changes in %s stay half way: %s", plan.parent, error)
            continue
        if ended != "nothing":
            _log.warning("the changes of task %s were %s after a crash", plan.parent.parent.name, ended)
            recovered += 1
    for folder in (*_children(snapshots), *_children(changes)):
        try:
            if _touched(folder) < before:
                remove_snapshot(folder)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", folder, error)
    return recovered


def _children(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _touched(folder: Path) -> float:
    """When it was last written to, epoch seconds."""
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))


def empty_scratch(folder: Path) -> None:
    """Remove what a process that was killed left in its folder for copies that no one goes on with."""
    for child in _children(folder):
        try:
            remove_snapshot(child)
        except OSError as error:
            _log.warning("%s cannot be removed: %s", child, error)


def remove_snapshot(folder: Path) -> None:
    """Remove a folder with all below it, whatever commands left in it; no link is followed."""
    if folder.is_dir():
        with FolderHandle(folder) as handle:
            remove_all(handle.fd, names_in(handle.fd))
        shutil.rmtree(folder, ignore_errors=True)
