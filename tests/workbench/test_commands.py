"""Commands: limits, timeouts, capped output, nothing outlives its turn, the sandbox for real."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hal9.errors.workbench import ActionNotPermitted, CommandNotFound, CommandsUnavailable, SandboxUnavailable
from hal9.settings import WorkbenchSettings
from hal9.workbench import FileEdit, Workbench, choose_sandbox
from tests.workbench.conftest import OpenSnapshot


async def test_shell_and_argv_form(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        done = await snapshot.run("echo a; echo b >&2; exit 3")
        assert (done.exit_code, done.output, done.ok) == (3, "a\nb\n", False)
        done = await snapshot.run(["printf", "%s", "$HOME; x"])
        assert (done.ok, done.output) == (True, "$HOME; x")
        with pytest.raises(CommandNotFound, match="no-such-program"):
            await snapshot.run(["no-such-program"])
        done = await snapshot.run("kill -9 $$")
        assert (done.exit_code, done.ok) == (-9, False)


async def test_output_keeps_both_ends_and_a_file_has_the_middle(opened: OpenSnapshot) -> None:
    async with opened(output_kb=1) as snapshot:
        done = await snapshot.run("echo first; yes middle | head -c 300000; echo last")
        assert done.truncated
        assert len(done.output) < 1200
        assert done.output.startswith("first\n")
        assert done.output.endswith("last\n")
        assert done.full_output is not None
        assert done.full_output.read_bytes().count(b"middle") > 42_000


async def test_a_timeout_ends_everything_below(opened: OpenSnapshot) -> None:
    async with opened(timeout_seconds=0.5) as snapshot:
        done = await snapshot.run("(sleep 60 & echo $! > child; wait) & sleep 60")
        assert done.timed_out
        assert done.exit_code is None
        assert "stopped after 0.5 s" in done.output
        await _gone(int(await snapshot.read_bytes("child")))


async def test_a_background_process_neither_delays_nor_survives_its_command(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        done = await snapshot.run("sleep 600 & echo $!")
        assert done.ok
        assert done.seconds < 60
        await _gone(int(done.output))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a chosen parent")
async def test_a_daemonised_process_does_not_survive_without_a_sandbox_either(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        script = "setsid sh -c 'setsid sleep 600 & echo $! > orphan' ; sleep 0.2"
        assert (await snapshot.run(script)).ok
        await _gone(int(await snapshot.read_bytes("orphan")))


async def _gone(pid: int) -> None:
    for _ in range(400):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"process {pid} outlived its command")


async def test_cancelling_the_turn_ends_the_command(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        work = asyncio.create_task(snapshot.run("echo $$ > pid; sleep 60"))
        pid = snapshot.root / "pid"
        while not pid.exists() or not pid.read_text().strip():
            await asyncio.sleep(0.02)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await _gone(int(pid.read_text()))
        assert (await snapshot.run("echo again")).output == "again\n"


_VICTIM = """
import asyncio, sys
from pathlib import Path
from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot

async def main(workspace, folder, isolation):
    async with Snapshot(Place(Path(workspace), Path(folder)), WorkbenchSettings(isolation=isolation)) as snapshot:
        await snapshot.run("touch begun; exec sleep 987")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("isolation", ["none", pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)])
async def test_a_killed_daemon_leaves_no_command(workspace: Path, tmp_path: Path, isolation: str) -> None:
    """Killed at the moment of the spawn, or in the middle of the command: nothing of it goes on."""
    for number, delay in enumerate((0.0, 0.02, None)):
        folder = tmp_path / f"snapshot-{number}"
        victim = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _VICTIM, workspace, folder, isolation, cwd=Path(__file__).parents[2]
        )
        while not (folder / ("base.json" if delay is not None else "tree/begun")).exists():
            await asyncio.sleep(0.005)
        await asyncio.sleep(delay or 0.0)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        for _ in range(400):
            if not _processes_in(folder):
                break
            await asyncio.sleep(0.05)
        assert not _processes_in(folder)


def _processes_in(folder: Path) -> list[str]:
    """Command lines of supervisors and commands of a snapshot."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            inside = str(folder) in line and "-c" not in line.split()[1:2]
            inside |= str(process.joinpath("cwd").readlink()).startswith(str(folder))
        except OSError:
            continue
        if inside:
            found.append(line)
    return found


async def test_memory_is_what_is_used_not_what_is_reserved(opened: OpenSnapshot) -> None:
    python = sys.executable
    async with opened(memory_mb=200) as snapshot:
        reserved = "import mmap; m = mmap.mmap(-1, 8 << 30); print('fine')"
        done = await snapshot.run([python, "-c", reserved])
        assert (done.ok, done.output) == (True, "fine\n")
        used = "import time\nx = []\nwhile True: x.append(b'x' * (8 << 20)); time.sleep(0.005)"
        done = await snapshot.run([python, "-c", used])
        assert not done.ok
        assert "more than 200 MB of memory" in done.stopped


@pytest.mark.parametrize("program", ["node", "java"])
async def test_node_and_java_run_under_the_shipped_limits(opened: OpenSnapshot, program: str) -> None:
    import shutil

    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    async with opened(isolation="auto") as snapshot:
        await snapshot.write(
            "Hi.java", b'class Hi { public static void main(String[] a) { System.out.println("hi"); } }'
        )
        command = {"node": "node -e 'console.log(\"hi\")'", "java": "java -version && echo hi"}[program]
        done = await snapshot.run(command)
        assert done.ok, done.output
        assert "hi" in done.output


async def test_file_size_disk_and_processes_are_limited(opened: OpenSnapshot) -> None:
    async with opened(file_mb=1, disk_mb=20, processes=40) as snapshot:
        done = await snapshot.run("head -c 5000000 /dev/zero > big")
        assert not done.ok
        assert (snapshot.root / "big").stat().st_size <= 1024 * 1024
        done = await snapshot.run(
            "i=0; while true; do i=$((i+1)); head -c 1000000 /dev/zero > f$i; sleep 0.01; done"
        )
        assert "the workspace grew beyond 20 MB" in done.stopped
        done = await snapshot.run("for i in $(seq 200); do sleep 60 & done; wait")
        assert not done.ok


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"LANG": "C.UTF-8"}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "de_DE.UTF-8"}, {"LANG": "de_DE.UTF-8"}),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, {"LC_CTYPE": "C.UTF-8", "LC_ALL": "C"}),
        ({"LANG": "C.UTF-8", "LC_CTYPE": "C"}, {"LC_CTYPE": "C"}),
        ({}, {}),
    ],
)
async def test_commands_have_the_users_language_and_a_shell(
    opened: OpenSnapshot, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], seen: dict[str, str]
) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    async with opened() as snapshot:
        done = await snapshot.run(["/usr/bin/env"])
        shown = dict(line.split("=", 1) for line in done.output.splitlines())
        assert {name: shown[name] for name in shown if name.startswith(("LANG", "LC_"))} == seen
        assert shown["SHELL"] == "/bin/bash"


async def test_secrets_of_the_environment_stay_outside(
    opened: OpenSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PROVIDER_API_KEY", "sk-secret")
    async with opened() as snapshot:
        done = await snapshot.run("env; cat /proc/$PPID/environ | tr '\\0' '\\n'")
        assert "sk-secret" not in done.output
        # Our own environment is closed to other processes of the same user too (root reads everything).
        if os.geteuid() != 0:
            done = await snapshot.run(f"cat /proc/{os.getpid()}/environ")
            assert "ermission denied" in done.output
        assert Path(f"/proc/{os.getpid()}/environ").stat().st_uid == 0
        assert "PATH=" in done.output


async def test_a_supervisor_that_is_killed_is_said(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        with pytest.raises(CommandsUnavailable, match="killed"):
            await snapshot.run("kill -9 $PPID; sleep 5")
        assert (await snapshot.run("echo on")).output == "on\n"


def test_a_required_sandbox_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from hal9.workbench.running import sandbox

    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox._bubblewrap_problem.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
            choose_sandbox("bubblewrap")
        assert "without a sandbox" in choose_sandbox("auto").warning
        assert choose_sandbox("none").warning == ""
    finally:
        sandbox._bubblewrap_problem.cache_clear()


@pytest.mark.bubblewrap
async def test_the_sandbox_has_no_network_and_a_read_only_outside(
    opened: OpenSnapshot, outside: Path
) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept_one, args=(server,), daemon=True).start()
    port = server.getsockname()[1]
    probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"
    async with opened(isolation="bubblewrap") as snapshot:
        done = await snapshot.run(["python3", "-c", probe])
        assert not done.ok
        assert "Error" in done.output
        done = await snapshot.run(
            f"echo x > inside && cat {outside}/rc; echo x > {outside}/y; echo x > /etc/hal9-test"
        )
        assert (snapshot.root / "inside").read_text() == "x\n"
        assert not (outside / "y").exists()
        assert not Path("/etc/hal9-test").exists()
        assert "the user's own" not in done.output
    async with opened(isolation="bubblewrap", network=True) as snapshot:
        done = await snapshot.run(["python3", "-c", probe])
        assert done.ok, done.output
    server.close()


# Kinds of secrets that lie in a home folder, and where.
_SECRETS = [
    ".ssh/id_ed25519", ".aws/credentials", ".gnupg/key", ".netrc", ".git-credentials", ".npmrc", ".pypirc",
    ".config/gh/hosts.yml", ".claude/.credentials.json", ".codex/auth.json", ".cache/huggingface/token",
    ".pgpass", ".env", ".bash_history", ".docker/config.json", ".kube/config", "other/.hal9/journal.db",
    ".cargo/credentials.toml", ".m2/settings.xml", ".config/gcloud/token", ".local/share/keyrings/login",
]  # fmt: skip


@pytest.mark.bubblewrap
async def test_the_sandbox_shows_what_is_named_and_no_secret(
    opened: OpenSnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    project = home / "code" / "project"
    project.mkdir(parents=True)
    (project / "a.py").write_text("1\n")
    for name in (*_SECRETS, "data/numbers", ".cargo/bin/tool"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("very secret" if name in _SECRETS else "shown")
    monkeypatch.setenv("HOME", str(home))
    async with opened(
        workspace=project, isolation="bubblewrap", read_only_folders=[str(home / "data")]
    ) as snapshot:
        done = await snapshot.run(f"for f in {' '.join(_SECRETS)}; do cat {home}/$f; done; cat /etc/shadow")
        assert "very secret" not in done.output
        assert "root:" not in done.output
        done = await snapshot.run(
            f"cat {home}/data/numbers {home}/.cargo/bin/tool; pwd; ls; touch {home}/data/x"
        )
        assert done.output.startswith(f"shownshown{project}\na.py\n")
        assert not (home / "data" / "x").exists()


@pytest.mark.bubblewrap
async def test_the_sandbox_hides_the_clusters_own_state(opened: OpenSnapshot, tmp_path: Path) -> None:
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True)
    (state / "access.json").write_text("secret")
    async with opened(
        isolation="bubblewrap", hidden=(state,), read_only_folders=[str(tmp_path / "data")]
    ) as snapshot:
        done = await snapshot.run(f"ls {tmp_path}/data && cat {state}/access.json")
        assert not done.ok
        assert "secret" not in done.output


async def test_the_projects_own_environment_comes_first(opened: OpenSnapshot, workspace: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", workspace / ".venv"], check=True)
    package = next((workspace / ".venv" / "lib").glob("python3*")) / "site-packages" / "only_here.py"
    package.write_text("where = 'the project'\n")
    check = "python -c 'import only_here, sys; print(only_here.where, sys.prefix)'"
    for isolation in ("none", "auto"):
        async with opened(isolation=isolation) as snapshot:
            done = await snapshot.run(check)
            assert done.output == f"the project {workspace}/.venv\n"
            assert snapshot.environment is not None
            assert snapshot.environment.why == ".venv of the workspace"
            await snapshot.discard()


async def test_the_environment_that_was_active_is_found_also_under_tmp(
    opened: OpenSnapshot, tmp_path: Path
) -> None:
    active = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", active], check=True)
    async with opened(isolation="auto", environment=str(active)) as snapshot:
        done = await snapshot.run("python -c 'import sys; print(sys.prefix)'; echo $VIRTUAL_ENV")
        assert done.output == f"{active}\n{active}\n"


async def test_layers_may_do_what_the_settings_say(opened: OpenSnapshot) -> None:
    settings = WorkbenchSettings(isolation="none")
    async with opened() as snapshot:
        strategist = Workbench(snapshot, layer="L4", settings=settings)
        with pytest.raises(ActionNotPermitted, match=r"layer L4 may not write"):
            await strategist.apply([FileEdit("a", "x")])
        with pytest.raises(ActionNotPermitted, match=r"may not run"):
            await strategist.run("true")
        implementer = Workbench(snapshot, layer="L2", settings=settings)
        await implementer.apply([FileEdit("a", "x")])
        assert (await implementer.check("test -f a")).passed
        assert await strategist.read("a") == "x"


def _accept_one(server: socket.socket) -> None:
    server.accept()[0].close()
