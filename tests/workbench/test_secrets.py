"""Which folders are refused as workspaces, which files no task sees, and which Python a task gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hal9.errors.workbench import WorkspaceRefused
from hal9.workbench.git_state import find_git_folders
from hal9.workbench.running.environments import find_environment
from hal9.workbench.secrets import check_workspace, left_out_because
from tests.workbench.conftest import OpenSnapshot


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "people" / "me"
    (folder / "code" / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/lib", "/var", "/proc/self", "/tmp", "/home"])
def test_the_system_is_no_workspace(path: str) -> None:
    with pytest.raises(
        WorkspaceRefused, match=r"cannot be a workspace: it is .*Name the folder of one project"
    ):
        check_workspace(Path(path))
    with pytest.raises(WorkspaceRefused):
        check_workspace(Path(path), allow_home=True)


def test_a_home_is_no_workspace_unless_allowed(home: Path) -> None:
    check_workspace(home / "code" / "project")
    check_workspace(home / "code")
    for path in (home, home.parent, home / "code" / ".."):
        with pytest.raises(WorkspaceRefused, match="your home folder, or above it"):
            check_workspace(path)
    (home / "link").symlink_to(home)
    with pytest.raises(WorkspaceRefused, match="your home folder"):
        check_workspace(home / "link")
    check_workspace(home, allow_home=True)
    with pytest.raises(WorkspaceRefused):
        check_workspace(home.parent, allow_home=True)


def test_homes_of_hal9_and_folders_with_credentials_are_refused(home: Path) -> None:
    cluster = home / "cluster"
    (cluster / "config").mkdir(parents=True)
    (cluster / "neurons").mkdir()
    (cluster / ".hal9" / "x").mkdir(parents=True)
    (cluster / "config" / "hal9.yaml").write_text("")
    with pytest.raises(WorkspaceRefused, match="it is a HAL9 home"):
        check_workspace(cluster)
    check_workspace(cluster, allow_home=True)
    with pytest.raises(WorkspaceRefused, match="state of a HAL9 home"):
        check_workspace(cluster / ".hal9" / "x", allow_home=True)
    (home / "code" / ".aws").mkdir()
    with pytest.raises(WorkspaceRefused, match=r"it contains \.aws"):
        check_workspace(home / "code")
    (home / ".ssh" / "project").mkdir(parents=True)
    with pytest.raises(WorkspaceRefused, match=r"it lies in \.ssh"):
        check_workspace(home / ".ssh" / "project")


async def test_secrets_of_a_workspace_are_left_out_and_stay(opened: OpenSnapshot, workspace: Path) -> None:
    hidden = {
        ".env": "KEY=1", "sub/.env.local": "KEY=2", ".git-credentials": "x", "deploy/id_rsa": "x", ".npmrc": "//r/:_authToken=x",
        "tls.key": "-----BEGIN PRIVATE KEY-----", ".aws/credentials": "x", ".claude/.credentials.json": "x",
    }  # fmt: skip
    shown = {
        ".env.example": "KEY=", "web/.npmrc": "registry=https://example.org", "public.pem": "-----BEGIN CERTIFICATE-----",
        "environment.py": "x", "tests/certs/server.key": "-----BEGIN PRIVATE KEY-----", ".claude/settings.json": "{}",
    }  # fmt: skip
    for name, text in {**hidden, **shown}.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    # Test keys that are committed are no secret.
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    subprocess.run(["git", "add", "tests"], cwd=workspace, check=True)
    async with opened() as snapshot:
        found = set(await snapshot.paths())
        assert set(shown) <= found
        assert not set(hidden) & found
        assert "looks like a secret" in snapshot.copied.skipped[".env"]
        await snapshot.run("echo x >> a.py")
        await snapshot.accept()
        await snapshot.discard()
    for name, text in hidden.items():
        assert (workspace / name).read_text() == text
    async with opened(visible_files=[".env"]) as snapshot:
        assert await snapshot.read_bytes(".env") == b"KEY=1"


def test_a_home_of_hal9_that_is_allowed_keeps_its_settings_to_itself(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "neurons").mkdir()
    (tmp_path / "config" / "hal9.yaml").write_text("")
    rule = left_out_because(tmp_path, visible=frozenset())
    assert all(rule(name) for name in ("config", "neurons", "memory", ".hal9"))
    assert not rule("src")


# --- git's folder ---------------------------------------------------------------------------------------


async def test_gits_folder_of_the_copy_has_no_hooks_and_no_passwords(
    opened: OpenSnapshot, workspace: Path
) -> None:
    run = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    subprocess.run([*run, "add", "."], cwd=workspace, check=True)
    subprocess.run([*run, "commit", "-qm", "base"], cwd=workspace, check=True)
    (workspace / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\ntouch hooked\n")
    (workspace / ".git" / "hooks" / "pre-commit").chmod(0o755)
    with (workspace / ".git" / "config").open("a") as stream:
        stream.write(
            '[remote "origin"]\n\turl = https://me:ghp_secret@example.org/x\n[http]\n\textraheader = AUTH secret\n[credential]\n\thelper = store secret\n[core]\n\tfsmonitor = touch secret\n'
        )
    head = (workspace / ".git" / "refs" / "heads").iterdir().__next__().read_text()
    async with opened() as snapshot:
        assert "secret" not in (snapshot.root / ".git" / "config").read_text()
        script = "git status --short; git -c user.name=x -c user.email=x@e commit -qm two --allow-empty; git log --format=%s; git remote -v"
        done = await snapshot.run(script)
        assert done.output.startswith("two\nbase\norigin\thttps://example.org/x")
        assert not (snapshot.root / "hooked").exists()
        assert await snapshot.changes() == []
        await snapshot.accept()
    assert (workspace / ".git" / "refs" / "heads").iterdir().__next__().read_text() == head


async def test_linked_working_trees_and_borrowed_objects_work_in_the_sandbox(
    opened: OpenSnapshot, workspace: Path, tmp_path: Path
) -> None:
    run = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    subprocess.run([*run, "add", "."], cwd=workspace, check=True)
    subprocess.run([*run, "commit", "-qm", "base"], cwd=workspace, check=True)
    subprocess.run(["git", "clone", "-q", "--shared", workspace, tmp_path / "shared"], check=True)
    subprocess.run(["git", "worktree", "add", "-q", tmp_path / "linked"], cwd=tmp_path / "shared", check=True)
    folders = find_git_folders(tmp_path / "linked")
    assert folders is not None
    assert len(folders.objects) == 2
    async with opened(workspace=tmp_path / "linked", isolation="auto") as snapshot:
        done = await snapshot.run("git log --format=%s; git status --short; git show HEAD:a.py")
        assert done.output == "base\nx = 1\n"


# --- Python ---------------------------------------------------------------------------------------------


def environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def test_which_environment_is_found(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_environment(workspace).folder is None
    assert "none of its own" in find_environment(workspace).why
    active = environment(tmp_path / "active")
    assert find_environment(workspace, given=str(active)).folder == active
    # The environment that HAL9 itself runs in counts only when nothing else does.
    assert find_environment(workspace, given=sys.prefix).folder == Path(sys.prefix)
    own = environment(workspace / "venv")
    assert find_environment(workspace, given=str(active)).folder == own
    named = environment(tmp_path / "named")
    assert find_environment(workspace, given=str(active), configured=str(named)).folder == named
    assert (
        find_environment(workspace, given=str(active), configured="venv").why
        == "named by workbench.environment"
    )
    (workspace / "venv").rename(workspace / ".env.d")
    (workspace / "pyproject.toml").write_text('[tool.poetry]\nname = "x"\n')
    monkeypatch.setenv("POETRY_CACHE_DIR", str(tmp_path / "cache"))
    import base64
    import hashlib

    mark = base64.urlsafe_b64encode(hashlib.sha256(os.path.realpath(workspace).encode()).digest()).decode()[
        :8
    ]
    poetry = environment(tmp_path / "cache" / "virtualenvs" / f"x-{mark}-py3.11")
    assert find_environment(workspace).folder == poetry


async def test_an_editable_install_is_the_copy_not_the_original(
    opened: OpenSnapshot, workspace: Path
) -> None:
    (workspace / "src").mkdir()
    (workspace / "src" / "mine.py").write_text("value = 'old'\n")
    packages = next((environment(workspace / ".venv") / "lib").glob("python3*")) / "site-packages"
    (packages / "mine.pth").write_text(f"{workspace}/src\n")
    for isolation in ("none", "auto"):
        async with opened(isolation=isolation) as snapshot:
            await snapshot.write("src/mine.py", b"value = 'new'\n")
            done = await snapshot.run("cd sub && python -c 'import mine; print(mine.value)'")
            assert done.output == "new\n", isolation
            await snapshot.discard()
