"""Which folders no task may work in, and which files of a workspace no task gets to see."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from hal9.errors.workbench import WorkspaceRefused

__all__ = ["SECRET_FOLDERS", "check_workspace", "left_out_because"]

# Folders that hold credentials: one of them makes a folder somebody's home rather than a project.
SECRET_FOLDERS = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".config/gcloud", ".config/gh", ".password-store",
    ".mozilla", ".config/google-chrome", ".local/share/keyrings",
)  # fmt: skip
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/var",
    "/usr",
)
_SYSTEM_ROOTS = ("/", "/home", "/Users", "/mnt", "/media", "/opt", "/srv", "/tmp", "/root/.ssh")
# Places below system folders where people do keep projects.
_ALLOWED_BELOW = (
    "/usr/src",
    "/usr/local/src",
    "/var/www",
    "/var/lib",
    "/var/tmp",
    "/run/user",
    "/var/folders",
)
_SECRET_FILES = re.compile(
    r"""(?:^|/)(?:
        \.env(?:\.(?!example$|sample$|template$|dist$|defaults?$|test$)[\w.-]+)?
      | \.git-credentials | \.netrc | _netrc | \.pgpass | \.my\.cnf | \.pypirc | \.npmrc | \.yarnrc\.yml
      | id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)? | [^/]*\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk)
      | \.(?:bash|zsh|sh|python|node_repl|psql|mysql|sqlite)_history | \.(?:viminfo|lesshst)
      | \.docker/config\.json | \.claude/\.credentials\.json | \.claude\.json | \.codex/auth\.json
      | \.gemini/oauth_creds\.json | \.cache/huggingface/token | \.huggingface/token | \.vault-token
      | \.terraformrc | terraform\.tfstate(?:\.backup)? | \.s3cfg | \.boto | credentials\.json | \.htpasswd
      | \.cargo/credentials(?:\.toml)? | \.gem/credentials | \.config/hub | \.m2/settings\.xml
    )$""",
    re.VERBOSE,
)
# These are often plain settings; only with a credential in them are they secret.
_SECRET_ONLY_WITH = {
    ".npmrc": re.compile(rb"_authToken|_auth\b|_password"),
    ".yarnrc.yml": re.compile(rb"npmAuthToken|npmAuthIdent"),
}
_PRIVATE_KEY = re.compile(rb"PRIVATE KEY")
_LOOKED_AT = 64 * 1024
_GIT_SECONDS = 10


def check_workspace(workspace: Path, *, allow_home: bool = False) -> None:
    """Refuse folders in which a task could do harm that has nothing to do with a project.

    Args:
        workspace: an absolute path.
        allow_home: whether the user's home and a home of HAL9 are let through; their secrets and HAL9's own
            folders are left out all the same.

    Raises:
        WorkspaceRefused: with the reason.
    """
    real = Path(os.path.realpath(workspace))
    home = Path(os.path.realpath(Path.home()))
    if real == home or (home.is_relative_to(real) and str(real) not in _SYSTEM_ROOTS):
        if allow_home and real == home:
            return
        raise _refused(workspace, "it is your home folder, or above it", home=real == home)
    if str(real) in _SYSTEM_ROOTS or _is_system(real):
        raise _refused(workspace, "it is part of the system")
    inside = next((name for name in SECRET_FOLDERS if real.is_relative_to(home / name)), None)
    if inside is not None:
        raise _refused(workspace, f"it lies in {inside}, where credentials are kept")
    if ".hal9" in real.parts:
        raise _refused(workspace, "it lies in the state of a HAL9 home")
    if allow_home:
        return
    if is_hal9_home(real):
        raise _refused(workspace, "it is a HAL9 home, with the settings and prompts of a cluster", home=True)
    found = next((name for name in SECRET_FOLDERS if (real / name).is_dir()), None)
    if found is not None:
        raise _refused(workspace, f"it contains {found}, where credentials are kept", home=True)


def _refused(workspace: Path, why: str, *, home: bool = False) -> WorkspaceRefused:
    remedy = "Name the folder of one project instead."
    if home:
        remedy = (
            "Name the folder of one project instead, or allow it with --allow-home (secrets are left out)."
        )
    return WorkspaceRefused(path=str(workspace), why=why, remedy=remedy)


def _is_system(real: Path) -> bool:
    if any(real.is_relative_to(place) and real != Path(place) for place in _ALLOWED_BELOW):
        return False
    return any(real.is_relative_to(place) for place in _SYSTEM)


def is_hal9_home(folder: Path) -> bool:
    """Whether a cluster's settings and prompts lie here."""
    return (folder / "config" / "hal9.yaml").is_file() and (folder / "neurons").is_dir()


def left_out_because(workspace: Path, *, visible: frozenset[str]) -> Callable[[str], str]:
    """A rule that says of each path why no task gets to see it; "" lets it through.

    A file that git tracks is no secret, whatever its name: test keys and sample settings belong to many
    projects.

    Args:
        workspace: the folder.
        visible: paths that the user shows all the same (`workbench.visible_files`).
    """
    own_home = is_hal9_home(workspace)
    tracked: set[str] | None = None

    def rule(path: str) -> str:
        nonlocal tracked
        if path in visible:
            return ""
        if own_home and path in ("config", "neurons", "memory", ".hal9"):
            return "part of the HAL9 home"
        if path in SECRET_FOLDERS or path.endswith(tuple(f"/{name}" for name in SECRET_FOLDERS)):
            return "credentials are kept there"
        if not _SECRET_FILES.search(path) or not _looks_secret(workspace / path):
            return ""
        if tracked is None:
            tracked = _tracked(workspace)
        return "" if path in tracked else "it looks like a secret, and git does not track it"

    return rule


def _looks_secret(path: Path) -> bool:
    wanted = _SECRET_ONLY_WITH.get(path.name)
    if wanted is None and path.suffix in (".pem", ".key"):
        wanted = _PRIVATE_KEY
    if wanted is None:
        return True
    try:
        if not path.is_file() or path.is_symlink():
            return False
        with path.open("rb") as stream:
            return wanted.search(stream.read(_LOOKED_AT)) is not None
    except OSError:
        return True


def _tracked(workspace: Path) -> set[str]:
    """Paths that git tracks; empty without git."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        listed = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "ls-files", "-z"],
            cwd=workspace, env=environment, capture_output=True, timeout=_GIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return {os.fsdecode(name) for name in listed.stdout.split(b"\0")} if listed.returncode == 0 else set()
