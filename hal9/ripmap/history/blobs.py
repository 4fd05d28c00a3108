"""Git objects by id: contents one by one, sizes all at once."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hal9.errors.ripmap import GitFailed
from hal9.ripmap.history.git_command import git_environment, git_line, run_git

if TYPE_CHECKING:
    import subprocess

__all__ = ["BlobReader", "blob_sizes"]


def blob_sizes(root: Path, commit: str, blobs: Sequence[str]) -> list[int | None]:
    """Bytes of each object of a commit's tree; None where this clone does not hold it.

    Two or three processes, whatever the number of objects.

    Raises:
        GitFailed: git is missing or said no.
    """
    absent = _absent(root, commit)
    here = list(dict.fromkeys(blob for blob in blobs if blob not in absent))
    wanted = "".join(f"{blob}\n" for blob in here).encode()
    told = run_git(root, "cat-file", "--batch-check=%(objectsize)", "--buffer", given=wanted).split(b"\n")[
        :-1
    ]
    if len(told) != len(here):
        raise GitFailed(root=str(root), command="cat-file --batch-check", detail="it ended unexpectedly")
    sizes = {blob: int(line) for blob, line in zip(here, told, strict=True) if line.isdigit()}
    return [sizes.get(blob) for blob in blobs]


def _absent(root: Path, commit: str) -> frozenset[str]:
    """Objects of a commit's tree that a partial clone left with its remote.

    Asking for one of them by id would fetch it, one connection each; this lists them without.
    """
    try:
        run_git(root, "config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$")
    except GitFailed:
        # The clone is a whole one.
        return frozenset()
    told = run_git(root, "rev-list", "--objects", "--no-object-names", "--missing=print", "--no-walk", commit)
    return frozenset(line[1:].decode() for line in told.split() if line.startswith(b"?"))


class BlobReader:
    """Contents of git objects by id, through one long-lived `git cat-file`.

    Close it with `with` or `close()`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a later read starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            if process.stdin:
                process.stdin.close()
            if process.stdout:
                process.stdout.close()
            process.wait(timeout=10)

    def __del__(self) -> None:
        if self._process is not None:
            self.close()

    def read(self, blob: str) -> bytes | None:
        """The object's bytes; None when this clone does not hold it.

        Raises:
            GitFailed: git is missing or ended.
        """
        import subprocess  # noqa: PLC0415 - a warm query reads no objects

        with self._lock:
            if self._process is None:
                try:
                    self._process = subprocess.Popen(
                        git_line(self._root, "cat-file", "--batch"),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        env=git_environment(),
                    )
                except OSError as error:
                    raise GitFailed(root=str(self._root), command="cat-file", detail=str(error)) from error
            stdin, stdout = self._process.stdin, self._process.stdout
            if stdin is None or stdout is None:
                raise GitFailed(root=str(self._root), command="cat-file", detail="its pipes are closed")
            try:
                stdin.write(f"{blob}\n".encode())
                stdin.flush()
                header = stdout.readline().split()
            except OSError as error:
                raise GitFailed(root=str(self._root), command="cat-file", detail=str(error)) from error
            if not header:
                raise GitFailed(root=str(self._root), command="cat-file", detail="it ended unexpectedly")
            if len(header) < 3:
                return None
            content = stdout.read(int(header[2]))
            stdout.read(1)
            return content
