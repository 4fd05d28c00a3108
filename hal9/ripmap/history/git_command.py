"""Asking git: one command, its environment, and what it says of a repository without a process of its own."""

import os
import re
from hashlib import blake2b
from pathlib import Path

from hal9.errors.ripmap import GitFailed, GitMissing
from hal9.text import split_lines

__all__ = ["GIT_SECONDS", "git_environment", "git_line", "head_commit", "run_git", "shallow_stamp"]

GIT_SECONDS = 300
_COMMIT_ID = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
_KEPT = frozenset({"GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"})
"""Variables that say how git is installed; the others say which repository is meant, which we tell."""


def git_environment() -> dict[str, str]:
    """The environment of every git process.

    Inside a hook git sets `GIT_DIR`, `GIT_INDEX_FILE` and others, which would redirect a call for another
    repository. A partial clone is never filled from the network behind the user's back.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def git_line(root: Path, *arguments: str) -> list[str]:
    """The command line.

    A repository may be someone else's: none of its configured programs is run, and nothing is fetched
    (`protocol.allow` also stops git versions that do not know `GIT_NO_LAZY_FETCH`).
    """
    fixed = (
        "core.quotepath=off",
        "log.showSignature=false",
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "protocol.allow=never",
        "protocol.file.allow=never",
        "protocol.ssh.allow=never",
        "protocol.git.allow=never",
        "protocol.http.allow=never",
        "protocol.https.allow=never",
    )
    return ["git", "-C", str(root), *(part for value in fixed for part in ("-c", value)), *arguments]


def run_git(root: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """Standard output of one git command; `given` is its standard input.

    Raises:
        GitFailed: git is missing, took too long, or said no.
    """
    import subprocess  # noqa: PLC0415 - a warm query asks git nothing

    said = " ".join(arguments)
    try:
        done = subprocess.run(
            git_line(root, *arguments),
            input=given if given is not None else b"",
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
            env=git_environment(),
        )
    except FileNotFoundError as error:
        raise GitMissing(root=str(root)) from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        # ValueError: a NUL among the arguments.
        raise GitFailed(root=str(root), command=said, detail=str(error)) from error
    if done.returncode != 0:
        detail = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise GitFailed(root=str(root), command=said, detail=detail)
    return done.stdout


def _folders(root: Path) -> tuple[Path, Path] | None:
    """Git's folder of the work tree at `root`, and the one it shares with other work trees; None without."""
    for folder in (root, *root.parents):
        marker = folder / ".git"
        if marker.exists():
            break
    else:
        return None
    try:
        own = marker
        if marker.is_file():
            own = (marker.parent / marker.read_text().removeprefix("gitdir:").strip()).resolve()
        common = own / "commondir"
        return own, (own / common.read_text().strip()).resolve() if common.exists() else own
    except (OSError, ValueError):
        # Another layout than the plain one: git itself is asked.
        return marker, marker


def head_commit(root: Path) -> str | None:
    """The commit checked out at `root`; None without a repository, without git, or before the first commit.

    Read from the files git keeps (a process costs more than the whole warm start), else asked of git.
    """
    folders = _folders(root)
    return (_head_of(*folders) or _asked_head(root)) if folders is not None else None


def shallow_stamp(root: Path) -> str:
    """Names where a shallow clone's history is cut off ("" where it is whole).

    `git fetch --unshallow` leaves the head where it is and changes this.
    """
    folders = _folders(root)
    try:
        cut = (folders[1] / "shallow").read_bytes() if folders is not None else b""
    except OSError:
        # No such file: nothing is cut off.
        return ""
    return blake2b(cut, digest_size=6).hexdigest() if cut.strip() else ""


def _head_of(folder: Path, shared: Path) -> str | None:
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head if _COMMIT_ID.match(head) else None
        name = head.removeprefix("ref:").strip()
        for place in (folder / name, shared / name):
            if place.is_file():
                found = place.read_text().strip()
                return found if _COMMIT_ID.match(found) else None
        packed = (shared / "packed-refs").read_text()
    except (OSError, ValueError):
        # Another layout than the plain one (or none); git itself is asked.
        return None
    for line in split_lines(packed):
        if line.endswith(f" {name}"):
            return line.partition(" ")[0]
    return None


def _asked_head(root: Path) -> str | None:
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip() or None
    except GitFailed:
        # No commit yet, or git is not installed: there is no history to read.
        return None
