"""Commands: limits, timeouts, capped output, nothing outlives its turn, the sandbox for real."""

import asyncio
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from hal9.errors.workbench import ActionNotPermitted, CommandNotFound, SandboxUnavailable
from hal9.settings import WorkbenchSettings
from hal9.workbench import Limits, Sandbox, Workbench, choose_sandbox, run_command

OPEN = Sandbox(kind="none")


async def test_shell_and_argv_form(tmp_path: Path) -> None:
    done = await run_command("echo a; echo b >&2; exit 3", root=tmp_path, limits=Limits(), sandbox=OPEN)
    assert (done.exit_code, done.output, done.ok) == (3, "a\nb\n", False)
    done = await run_command(["printf", "%s", "$HOME; x"], root=tmp_path, limits=Limits(), sandbox=OPEN)
    assert (done.ok, done.output) == (True, "$HOME; x")
    with pytest.raises(CommandNotFound, match="no-such-program"):
        await run_command(["no-such-program"], root=tmp_path, limits=Limits(), sandbox=OPEN)


async def test_output_keeps_both_ends(tmp_path: Path) -> None:
    limits = Limits(output_bytes=1000)
    done = await run_command(
        "echo first; yes middle | head -c 300000; echo last", root=tmp_path, limits=limits, sandbox=OPEN
    )
    assert done.truncated
    assert len(done.output) < 1200
    assert done.output.startswith("first\n")
    assert done.output.endswith("last\n")


async def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    limits = Limits(timeout_seconds=0.5)
    command = "(sleep 60 & echo $! > child; wait) & sleep 60"
    started = time.monotonic()
    done = await run_command(command, root=tmp_path, limits=limits, sandbox=OPEN)
    assert done.timed_out
    assert done.exit_code is None
    assert time.monotonic() - started < 30
    child = int((tmp_path / "child").read_text())
    await _gone(child)


async def _gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"process {pid} outlived its command")


async def test_cancelling_the_turn_ends_the_command(tmp_path: Path) -> None:
    work = asyncio.create_task(
        run_command("echo $$ > pid; sleep 60", root=tmp_path, limits=Limits(), sandbox=OPEN)
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await _gone(int((tmp_path / "pid").read_text()))


async def test_memory_and_file_size_are_limited(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=300 * 1024 * 1024, file_bytes=1024 * 1024)
    done = await run_command(
        ["python3", "-c", "x = bytearray(1 << 30)"], root=tmp_path, limits=limits, sandbox=OPEN
    )
    assert not done.ok
    assert "MemoryError" in done.output
    done = await run_command("head -c 5000000 /dev/zero > big", root=tmp_path, limits=limits, sandbox=OPEN)
    assert not done.ok
    assert (tmp_path / "big").stat().st_size <= 1024 * 1024


async def test_secrets_of_the_environment_stay_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PROVIDER_API_KEY", "sk-secret")
    done = await run_command("env", root=tmp_path, limits=Limits(), sandbox=OPEN)
    assert "sk-secret" not in done.output
    assert "PATH=" in done.output


def test_a_required_sandbox_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from hal9.workbench import sandbox

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
async def test_the_sandbox_has_no_network_and_a_read_only_outside(tmp_path: Path) -> None:
    box = choose_sandbox("bubblewrap")
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept_one, args=(server,), daemon=True).start()
    port = server.getsockname()[1]
    probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"
    limits = Limits(timeout_seconds=20)
    done = await run_command(["python3", "-c", probe], root=root, limits=limits, sandbox=box)
    assert not done.ok
    assert "Error" in done.output
    done = await run_command(
        f"echo x > inside && echo x > {outside}/y; echo x > /etc/hal9-test",
        root=root,
        limits=limits,
        sandbox=box,
    )
    assert (root / "inside").read_text() == "x\n"
    assert not (outside / "y").exists()
    assert not Path("/etc/hal9-test").exists()
    assert "Read-only file system" in done.output or "No such file" in done.output
    done = await run_command(["python3", "-c", probe], root=root, limits=limits, sandbox=box, network=True)
    assert done.ok, done.output
    server.close()


@pytest.mark.bubblewrap
async def test_the_sandbox_hides_the_clusters_own_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "access.json").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    done = await run_command(
        f"cat {state}/access.json",
        root=root,
        limits=Limits(),
        sandbox=choose_sandbox("bubblewrap"),
        hidden=(state,),
    )
    assert not done.ok
    assert "secret" not in done.output


async def test_layers_may_do_what_the_settings_say(tmp_path: Path) -> None:
    settings = WorkbenchSettings(isolation="none")
    strategist = Workbench(root=tmp_path, layer="L4", settings=settings)
    from hal9.workbench import FileEdit

    with pytest.raises(ActionNotPermitted, match=r"layer L4 may not write"):
        strategist.apply([FileEdit("a", "x")])
    with pytest.raises(ActionNotPermitted, match=r"may not run"):
        await strategist.run("true")
    implementer = Workbench(root=tmp_path, layer="L2", settings=settings)
    implementer.apply([FileEdit("a", "x")])
    assert (await implementer.check("test -f a")).passed
    assert strategist.read("a") == "x"


def _accept_one(server: socket.socket) -> None:
    server.accept()[0].close()
