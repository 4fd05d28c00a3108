"""Fresh checkouts of the packages' source releases with one fault each, as small git repositories."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.repair.faults import FAULTS, PACKAGES, Fault

__all__ = ["checkout", "fetch", "line_of", "passes"]


def fetch(folder: Path) -> None:
    """Have the source releases in `folder`, from the package index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in PACKAGES.items():
        if not list(folder.glob(f"{name.replace('-', '?')}-{version}.tar.gz")):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
            subprocess.run([*command, f"{name}=={version}"], cwd=folder, check=True)


def checkout(fault: Fault, sources: Path, target: Path, *, seeded: bool = True) -> None:
    """The package's release in `target`, with the fault (or without), committed."""
    version = PACKAGES[fault.package]
    (archive,) = sources.glob(f"{fault.package.replace('-', '?')}-{version}.tar.gz")
    target.mkdir(parents=True)
    with tarfile.open(archive) as stream:
        stream.extractall(target.parent / f"{target.name}.x", filter="data")
    (inner,) = (target.parent / f"{target.name}.x").iterdir()
    target.rmdir()
    shutil.move(inner, target)
    shutil.rmtree(target.parent / f"{target.name}.x")
    path = target / fault.path
    text = path.read_text(encoding="utf-8")
    assert text.count(fault.good) == 1, (fault.name, text.count(fault.good))
    if seeded:
        path.write_text(text.replace(fault.good, fault.bad), encoding="utf-8")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "release"],
    ):
        subprocess.run(["git", "-C", target, *command], check=True, capture_output=True)


def line_of(fault: Fault, folder: Path) -> int:
    """The number of the wrong line in its file."""
    text = (folder / fault.path).read_text(encoding="utf-8")
    wrong = next(at for at, line in enumerate(fault.bad.split("\n")) if line.strip() == fault.line)
    return text[: text.index(fault.bad)].count("\n") + 1 + wrong


def passes(fault: Fault, folder: Path, python: Path) -> bool:
    """Whether the package's own tests pass there."""
    command = fault.check.replace("python ", f"{python} ", 1)
    path = {"cachetools": "src", "humanize": "src"}.get(fault.package, ".")
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",
    }
    done = subprocess.run(command, check=False, shell=True, cwd=folder, env=env, capture_output=True)
    return done.returncode == 0


def verify(sources: Path, scratch: Path, python: Path) -> None:
    """Prove that each package passes as released and fails with each fault."""
    for fault in FAULTS:
        for seeded in (False, True):
            target = scratch / f"{fault.name}-{seeded}"
            checkout(fault, sources, target, seeded=seeded)
            print(
                fault.name,
                "seeded" if seeded else "released",
                "passes" if passes(fault, target, python) else "fails",
                flush=True,
            )


if __name__ == "__main__":
    verify(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
