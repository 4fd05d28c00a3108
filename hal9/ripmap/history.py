"""The commits of a repository, newest first, as git tells them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.errors import GitFailed
from hal9.ripmap.model import Commit

__all__ = ["History", "read_history", "run_git"]

_RECORD = "\x1e"
_FIELD = "\x1f"
_FORMAT = f"{_RECORD}%H{_FIELD}%P{_FIELD}%ct{_FIELD}%an{_FIELD}%B{_FIELD}"
_GIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class History:
    """Ancestors of one commit, newest first; empty when there is no repository or git is switched off.

    `fingerprint` names the newest commit and how far back was read; artifacts made from history carry it.
    """

    commits: Sequence[Commit] = ()
    fingerprint: str = ""

    def before(self, time: float) -> "History":
        """The commits older than `time` (seconds since the epoch)."""
        kept = tuple(commit for commit in self.commits if commit.time < time)
        return History(kept, f"{self.fingerprint}<{time:.0f}")

    def __len__(self) -> int:
        return len(self.commits)


def run_git(root: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Standard output of one git command.

    Raises:
        GitFailed: git is missing, took too long, or said no.
    """
    command = [
        "git",
        "-C",
        str(root),
        "-c",
        "core.quotepath=off",
        "-c",
        "log.showSignature=false",
        *arguments,
    ]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(root=str(root), command=" ".join(arguments), detail=str(error)) from error
    if done.returncode != 0:
        detail = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise GitFailed(root=str(root), command=" ".join(arguments), detail=detail)
    return done.stdout


def read_history(
    root: Path, revision: str = "HEAD", *, limit: int = 20_000, exclude: str = ""
) -> tuple[Commit, ...]:
    """Ancestors of `revision` (included), newest first, merges without files; `exclude` leaves out what it reaches.

    Paths are relative to `root`; files outside `root` are left out.
    """
    arguments = ["log", revision, *([f"^{exclude}"] if exclude else []), f"--max-count={limit}", "--name-only", "-z",
                 "--relative", "--no-renames", "--encoding=UTF-8", f"--format={_FORMAT}", "--", "."]  # fmt: skip
    text = run_git(root, *arguments).decode("utf-8", "replace")
    return tuple(_commit(record) for record in text.split(_RECORD)[1:])


def _commit(record: str) -> Commit:
    identity, parents, time, author, rest = record.split(_FIELD, 4)
    message, _, names = rest.rpartition(_FIELD)
    files = tuple(name for name in names.replace("\0\n", "\0").split("\0") if name.strip("\n"))
    return Commit(
        identity,
        float(time),
        author,
        message.strip(),
        tuple(f.lstrip("\n") for f in files),
        tuple(parents.split()),
    )
