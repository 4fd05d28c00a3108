"""What a person at a terminal sees who watches, steers, and stops watching."""

import asyncio
import signal
import sys
from collections.abc import Callable

from hal9.api.server import ApiServer
from hal9.cluster import Cluster, Home
from tests.conftest import Script, running_cluster
from tests.support.commands import ROOT
from tests.support.terminal import Terminal, hal9_in_terminal, shell_in_terminal

_ALTERNATE, _BACK, _CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


async def test_ctrl_c_ends_the_view_and_says_that_the_task_goes_on(home: Home) -> None:
    async with Cluster(home) as cluster:
        task_id = await cluster.submit("Nobody is there yet")

        def watch() -> tuple[int, str]:
            with hal9_in_terminal("--home", str(home.root), "watch", task_id) as terminal:
                terminal.until("Nobody is there")
                terminal.process.send_signal(signal.SIGINT)
                return terminal.ended(), terminal.written

        code, shown = await asyncio.to_thread(watch)
        assert code == 130, shown
        assert "The task goes on" in shown
        assert f"hal9 watch {task_id[-12:]}" in shown.replace("\r\n", " ")
        assert "Traceback" not in shown
        assert (await cluster.task(task_id)).state == "queued"


def test_a_screen_of_nothing_says_what_it_waits_for(home: Home) -> None:
    with hal9_in_terminal("--home", str(home.root), "watch", columns=40, rows=20) as terminal:
        lines = terminal.until("this waits for the first")
        assert "HAL9 ● down" in lines[0]
        assert any("`hal9 up` starts it" in line for line in lines)
        assert "q quit" in lines[-1]
        terminal.press("?")
        lines = terminal.until("follow the chosen task")
        assert any("q, Ctrl-C" in line for line in lines), lines
        terminal.press("x")
        terminal.until("this waits for the first")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
        assert _ALTERNATE in terminal.written
        assert _BACK in terminal.written.rpartition(_ALTERNATE)[2], "the screen from before did not come back"
        assert "Traceback" not in terminal.written


def written_since(terminal: Terminal, start: int, words: str) -> Callable[[list[str]], bool]:
    return lambda _: words in terminal.written[start:]


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(home: Home) -> None:
    with shell_in_terminal(columns=60) as shell:
        shell.press(f"hal9 --home {home.root} watch\n")
        shell.until("this waits for the first")
        for _ in range(2):
            shown = len(shell.written)
            shell.press("\x1a")
            shell.until(written_since(shell, shown, "Stopped"))
            given_back = shell.written[shown:].partition("Stopped")[0]
            assert _BACK in given_back, "the alternate screen is left before the shell is there again"
            assert _CURSOR in given_back
            assert _ALTERNATE not in given_back.rpartition(_BACK)[2]
            shown = len(shell.written)
            shell.press("fg\n")
            shell.until(written_since(shell, shown, "this waits for"))
            assert _ALTERNATE in shell.written[shown:]
        shell.press("q")
        shell.until(lambda _: shell.written.count(_BACK) == 3)
        shell.press("exit\n")
        assert shell.ended() == 0
        assert "Traceback" not in shell.written
        assert shell.written.count(_ALTERNATE) == shell.written.count(_BACK) == 3


async def test_ctrl_z_while_a_task_is_followed_leaves_a_cursor_and_the_task_alone(home: Home) -> None:
    async with Cluster(home) as cluster:
        task_id = await cluster.submit("Nobody is there yet")

        def watch() -> None:
            with shell_in_terminal() as shell:
                shell.press(f"hal9 --home {home.root} watch {task_id}\n")
                shell.until("Nobody is there")
                shown = len(shell.written)
                shell.press("\x1a")
                shell.until(lambda _: "Stopped" in shell.written[shown:])
                assert _CURSOR in shell.written[shown:].partition("Stopped")[0]
                shown = len(shell.written)
                shell.press("fg\n")
                shell.until(lambda _: "Nobody is there" in shell.written[shown:])
                shell.press("\x03")
                shell.until(lambda _: "The task goes on" in shell.written[shown:])

        await asyncio.to_thread(watch)
        assert (await cluster.task(task_id)).state == "queued"


async def test_a_task_is_chosen_followed_and_cancelled_over_http(home: Home, script: Script) -> None:
    script("slow")
    async with running_cluster(home) as (_, cluster), ApiServer(home) as server:
        token = server.services.tokens.create("watcher", ("read", "submit"))[1]
        first = await cluster.submit("The first of two")
        second = await cluster.submit("The [bold]second[/] of two")

        def steer() -> None:
            given = {"HAL9_URL": server.url, "HAL9_TOKEN": token}
            with hal9_in_terminal("watch", columns=120, environ=given) as terminal:
                terminal.until(lambda lines: any("> " in one and "[bold]second[/]" in one for one in lines))
                terminal.press("\x1b[B")
                terminal.until(lambda lines: any("> " in one and "The first" in one for one in lines))
                terminal.press("\r")
                terminal.until(lambda lines: first[-12:] in lines[0] and any("L4" in one for one in lines))
                terminal.press("\x1b")
                terminal.until("enter follow")
                terminal.press("c")
                terminal.until(f"Cancel {first[-12:]}?")
                terminal.press("n")
                terminal.until("enter follow")
                terminal.press("cy")
                terminal.until(lambda lines: any("cancelled: The first" in one for one in lines))
                terminal.press("c")
                terminal.until(f"{first[-12:]} is cancelled already")
                terminal.press("q")
                assert terminal.ended() == 0

        await asyncio.to_thread(steer)
        assert (await cluster.task(first)).state == "cancelled"
        assert (await cluster.task(second)).state == "running"
        await cluster.cancel(second)


async def thinking_is_shown(terminal: Terminal, cluster: Cluster) -> None:
    """Which neuron thinks is told by signs of life, which may be lost: tasks follow one another until one is seen."""
    seen = asyncio.create_task(asyncio.to_thread(terminal.until, "  thinking"))
    while not seen.done():
        await cluster.wait(await cluster.submit("Say something slowly"), timeout_seconds=180)
    await seen


async def test_a_daemon_that_goes_and_comes_back_is_told_on_the_screen(home: Home, script: Script) -> None:
    script("unhurried")
    with hal9_in_terminal("--home", str(home.root), "watch", columns=100) as terminal:
        async with running_cluster(home) as (_, cluster):
            await asyncio.to_thread(terminal.until, "HAL9 ● ready")
            await thinking_is_shown(terminal, cluster)
        await asyncio.to_thread(terminal.until, "HAL9 ● down")
        async with running_cluster(home) as (_, cluster):
            await asyncio.to_thread(terminal.until, "HAL9 ● ready")
            await thinking_is_shown(terminal, cluster)
        terminal.press("q")
        assert await asyncio.to_thread(terminal.ended) == 0


async def test_a_pipe_gets_a_line_for_each_thing_done(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hal9", "--home", str(home.root), "watch", cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert b"Waiting for the next thing" in await process.stderr.readline()
            told = asyncio.create_task(process.stdout.readuntil(b" step "))
            while not told.done():
                # Signs of life are not kept: what is done before its line to the broker stands is not told.
                await cluster.wait(await cluster.submit("Write add(a, b)"), timeout_seconds=60)
                await asyncio.wait([told], timeout=0.2)
            assert b"\x1b" not in told.result()
        finally:
            process.kill()
            await process.communicate()
