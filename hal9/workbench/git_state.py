"""Git's folder for a copied workspace: where the repository stands, without objects, hooks and secrets."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hal9.workbench.trees import WalkLimits

__all__ = ["GitFolders", "find_git_folders", "write_git_copy"]

# What says where a working tree stands; in a linked working tree these are its own.
_OWN_FILES = ("HEAD", "index", "ORIG_HEAD", "MERGE_HEAD", "config.worktree", "info/sparse-checkout")
_SPLIT_INDEX = "sharedindex.*"
_COMMON_FILES = ("packed-refs", "shallow", "info/exclude", "info/attributes")
# Credentials in addresses and headers, and what would point the copy back at the original or at programs.
_URL_SECRET = re.compile(r"(://)[^/@\s]+@")
_DROPPED_KEY = re.compile(
    r"^\s*(extraheader|worktree|hookspath|fsmonitor|helper|sshcommand|askpass)\b", re.IGNORECASE
)
_DROPPED_SECTION = re.compile(r"^\s*\[\s*(credential|include|includeif)\b", re.IGNORECASE)
_SECTION = re.compile(r"^\s*\[")
_MOST_CONFIG = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GitFolders:
    """A repository's folders: its own (HEAD, index), the common one (refs, config), and all object stores."""

    own: Path
    common: Path
    objects: tuple[Path, ...]


def find_git_folders(folder: Path) -> GitFolders | None:
    """The folders of the repository whose working tree is `folder`; None when it is no readable one."""
    dot = folder / ".git"
    try:
        if dot.is_file():
            line = dot.read_text(encoding="utf-8", errors="surrogateescape")[:4096].strip()
            if not line.startswith("gitdir:"):
                return None
            own = (folder / line.removeprefix("gitdir:").strip()).resolve()
        else:
            own = dot.resolve()
        shared = own / "commondir"
        common = (own / shared.read_text(encoding="utf-8").strip()).resolve() if shared.is_file() else own
        if not (own / "HEAD").is_file() or not (common / "objects").is_dir():
            return None
        return GitFolders(own=own, common=common, objects=_object_stores(common / "objects"))
    except OSError:
        return None


def _object_stores(objects: Path) -> tuple[Path, ...]:
    found = [objects]
    listed = objects / "info" / "alternates"
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
            store = (objects / line).resolve() if line and not line.startswith("#") else objects
            if store != objects and store.is_dir():
                found.append(store)
    return tuple(found)


def write_git_copy(folders: GitFolders, target: Path, alternates: list[Path], limits: WalkLimits) -> None:
    """Write a git folder that stands where the original stands and reads its objects from `alternates`.

    What is committed in the copy stays in the copy.

    Raises:
        WorkspaceTooLarge: more refs than the limits allow.
        OSError: it cannot be written.
    """
    target.mkdir()
    (target / "info").mkdir()
    (target / "objects" / "info").mkdir(parents=True)
    (target / "objects" / "pack").mkdir()
    (target / "refs" / "heads").mkdir(parents=True)
    (target / "refs" / "tags").mkdir()
    lines = "".join(f"{path}\n" for path in alternates)
    (target / "objects" / "info" / "alternates").write_text(lines, encoding="utf-8", errors="surrogateescape")
    wanted: tuple[tuple[Path, tuple[str, ...]], ...] = (
        (folders.own, _OWN_FILES),
        (folders.common, _COMMON_FILES),
    )
    for source, names in wanted:
        for name in names:
            if (source / name).is_file():
                limits.count((source / name).stat().st_size)
                shutil.copyfile(source / name, target / name)
    for path in folders.own.glob(_SPLIT_INDEX):
        shutil.copyfile(path, target / path.name)
    for base, _, found in os.walk(folders.common / "refs"):
        for name in found:
            path = Path(base) / name
            limits.count()
            copy = target / path.relative_to(folders.common)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (target / "config").write_text(_safe_config(folders.common / "config"), encoding="utf-8")


def _safe_config(path: Path) -> str:
    kept: list[str] = []
    dropping = False
    text = path.read_bytes()[:_MOST_CONFIG].decode("utf-8", "replace") if path.is_file() else ""
    for line in text.split("\n"):
        if _SECTION.match(line):
            dropping = bool(_DROPPED_SECTION.match(line))
        if not dropping and not _DROPPED_KEY.match(line):
            kept.append(_URL_SECRET.sub(r"\1", line))
    # The copies have other inodes: without this git would read every file again to see that none changed.
    return "\n".join(kept).rstrip() + "\n[core]\n\tcheckStat = minimal\n\ttrustctime = false\n"
