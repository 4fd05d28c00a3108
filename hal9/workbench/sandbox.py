"""No network and a read-only outside for commands, through bubblewrap where the kernel allows it."""

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hal9.errors.workbench import SandboxUnavailable

__all__ = ["Sandbox", "choose_sandbox"]

# Secrets of the user's that no task has any business reading, even read-only.
_HIDDEN = (".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", ".docker", ".netrc", ".pypirc")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How commands are wrapped; `warning` says once what is missing when they are not."""

    kind: Literal["bubblewrap", "none"]
    warning: str = ""

    def wrap(self, argv: list[str], *, root: Path, network: bool, hidden: tuple[Path, ...] = ()) -> list[str]:
        """The command line that runs `argv` inside the sandbox, in `root`."""
        if self.kind == "none":
            return argv
        home = Path(os.environ.get("HOME", "/nonexistent"))
        masked = [path for path in (*(home / name for name in _HIDDEN), *hidden) if path.exists()]
        masks: list[str] = []
        for path in masked:
            if root.is_relative_to(path):
                continue
            masks += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
        return [
            "bwrap", "--die-with-parent", "--new-session", "--unshare-all",
            *(["--share-net"] if network else []),
            "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",  # noqa: S108
            *masks,
            "--bind", str(root), str(root), "--chdir", str(root), "--", *argv,
        ]  # fmt: skip


@functools.cache
def _bubblewrap_problem() -> str:
    """Why bubblewrap cannot be used here; empty when it can."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed (Debian: apt install bubblewrap)"
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not run: {error}"
    return "" if done.returncode == 0 else f"bwrap does not run: {done.stderr.strip()[:200]}"


def choose_sandbox(isolation: Literal["auto", "bubblewrap", "none"]) -> Sandbox:
    """The sandbox for a setting of `workbench.isolation`.

    Raises:
        SandboxUnavailable: bubblewrap is required and cannot be used.
    """
    if isolation == "none":
        return Sandbox(kind="none")
    problem = _bubblewrap_problem()
    if not problem:
        return Sandbox(kind="bubblewrap")
    if isolation == "bubblewrap":
        raise SandboxUnavailable(detail=problem)
    return Sandbox(
        kind="none",
        warning=f"commands run without a sandbox: {problem}. They can reach the network and your files.",
    )
