"""The project's own Python environment: what commands find first in PATH, and what it needs."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Environment", "find_environment", "tool_folders"]

_NAMES = (".venv", "venv", "env", ".env", "virtualenv")
# Installed tools in the user's home, without settings or credentials beside them.
_TOOLS = (
    ".local/bin", ".local/lib", ".local/share/uv", ".local/share/pnpm", ".local/share/mise", ".local/pipx",
    ".local/share/pipx", ".local/share/virtualenvs", ".pyenv", ".rbenv", ".nvm", ".volta", ".asdf", ".sdkman",
    ".rustup", ".cargo/bin", ".cargo/registry", ".cargo/git", "go/pkg", "go/bin", ".m2/repository", ".deno",
    ".gradle/caches", ".gradle/wrapper", ".bun", ".virtualenvs", "miniconda3", "anaconda3", "miniforge3",
    "mambaforge", ".conda/envs", ".cache/pypoetry/virtualenvs", ".nix-profile", ".dotnet", ".ghcup", ".opam",
    ".juliaup", ".elan",
)  # fmt: skip
_MOST_CONFIG = 64 * 1024


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment.

    Attributes:
        folder: it; None when the workspace has none of its own.
        why: how it was found, in words.
        needs: folders outside it that it does not run without (the interpreter it was made from).
        editable: folders of the workspace, relative to it, that are installed in it "editable".
    """

    folder: Path | None
    why: str
    needs: tuple[Path, ...] = ()
    editable: tuple[str, ...] = ()

    @property
    def programs(self) -> Path | None:
        """Where its programs lie."""
        return None if self.folder is None else self.folder / "bin"


def find_environment(workspace: Path, *, given: str = "", configured: str = "") -> Environment:
    """The environment for a workspace.

    In this order: named in the settings, inside the workspace, uv's, active when the task was given,
    poetry's, pipenv's, conda's.

    Args:
        workspace: the original folder.
        given: `VIRTUAL_ENV` or `CONDA_PREFIX` when the task was given.
        configured: `workbench.environment`; a relative path is below the workspace.
    """
    candidates: list[tuple[Path, str]] = []
    if configured:
        candidates.append((workspace / Path(configured).expanduser(), "named by workbench.environment"))
    candidates += [(workspace / name, f"{name} of the workspace") for name in _NAMES]
    project = os.environ.get("UV_PROJECT_ENVIRONMENT")
    if project:
        candidates.append((workspace / project, "named by UV_PROJECT_ENVIRONMENT"))
    if given and not _is_ours(Path(given)):
        candidates.append((Path(given), "active when the task was given"))
    candidates += [(path, "poetry's for the workspace") for path in _poetry(workspace)]
    candidates += [(path, "pipenv's for the workspace") for path in _pipenv(workspace)]
    candidates += [(path, "conda's of this name") for path in _conda(workspace)]
    if given:
        candidates.append((Path(given), "active when the task was given"))
    for folder, why in candidates:
        if _is_environment(folder):
            return Environment(folder, why, _needs(folder), _editable(folder, workspace))
    return Environment(None, "the workspace has none of its own: programs are found on PATH")


def _is_ours(folder: Path) -> bool:
    return Path(os.path.realpath(folder)) == Path(os.path.realpath(sys.prefix))


def _is_environment(folder: Path) -> bool:
    try:
        marked = (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir()
        return marked and (folder / "bin" / "python").exists()
    except OSError:
        return False


def _needs(folder: Path) -> tuple[Path, ...]:
    """What the environment's interpreter was made from: its folder, and that of the real program."""
    found: dict[Path, None] = {}
    for line in _text(folder / "pyvenv.cfg").split("\n"):
        key, _, value = line.partition("=")
        if key.strip() == "home" and value.strip():
            found[Path(value.strip()).parent] = None
    program = Path(os.path.realpath(folder / "bin" / "python"))
    if not program.is_relative_to(folder):
        found[program.parent.parent] = None
    return tuple(path for path in found if path.is_dir())


def _editable(folder: Path, workspace: Path) -> tuple[str, ...]:
    """Source folders of the workspace on the environment's path: without a sandbox they name the original."""
    root = os.path.realpath(workspace)
    found: dict[str, None] = {}
    for packages in folder.glob("lib/python3*/site-packages"):
        for listed in packages.glob("*.pth"):
            for line in _text(listed).split("\n"):
                real = os.path.realpath(line.strip()) if line.startswith("/") else ""
                if real == root or real.startswith(f"{root}/"):
                    found[os.path.relpath(real, root)] = None
        for finder in packages.glob("__editable___*_finder.py"):
            text = _text(finder)
            for source in (".", "src", "lib"):
                if f"'{os.path.normpath(os.path.join(root, source))}/" in text:
                    found[source] = None
    return tuple(found)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_MOST_CONFIG)
    except OSError:
        return ""


def _poetry(workspace: Path) -> list[Path]:
    """Poetry names its environments after the project and a hash of its folder."""
    if "[tool.poetry" not in _text(workspace / "pyproject.toml"):
        return []
    import base64  # noqa: PLC0415
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256(os.path.normcase(os.path.realpath(workspace)).encode("utf-8", "replace")).digest()
    mark = base64.urlsafe_b64encode(digest).decode()[:8]
    cache = Path(os.environ.get("POETRY_CACHE_DIR", Path.home() / ".cache" / "pypoetry"))
    return sorted((cache / "virtualenvs").glob(f"*-{mark}-py*"), reverse=True)


def _pipenv(workspace: Path) -> list[Path]:
    if not (workspace / "Pipfile").is_file():
        return []
    base = Path(os.environ.get("WORKON_HOME", Path.home() / ".local" / "share" / "virtualenvs"))
    return sorted(base.glob(f"{workspace.name}-*"))


def _conda(workspace: Path) -> list[Path]:
    """The environment that environment.yml names."""
    text = _text(workspace / "environment.yml") or _text(workspace / "environment.yaml")
    name = next((line[5:].strip() for line in text.split("\n") if line.startswith("name:")), "")
    if not name or "/" in name:
        return []
    homes = [Path(os.environ["CONDA_ROOT"])] if os.environ.get("CONDA_ROOT") else []
    homes += [Path.home() / known for known in ("miniconda3", "anaconda3", "miniforge3", "mambaforge")]
    return [home / "envs" / name for home in [*homes, Path.home() / ".conda"]]


def tool_folders(home: Path) -> list[Path]:
    """Installed tools of the user's that commands may read."""
    return [home / name for name in _TOOLS if (home / name).is_dir()]
