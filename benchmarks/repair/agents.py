"""How each agent is set on a case: HAL9 through a whole cluster, the peers as their users start them.

The peers run what the model says unasked, so they are put into bubblewrap: everything is read-only but the
case's folder; the network stays, for the model's server.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.repair.cases import Case
from hal9.cluster import Daemon, connect, init_home

__all__ = ["ARMS", "Bench", "run_arm"]

ARMS = ("hal9-tools", "hal9-answer", "mini-swe-agent", "aider", "aider-whole")


@dataclass(frozen=True)
class Bench:
    """What all arms share.

    Attributes:
        url: of the model's server.
        model: its name there.
        python: of the environment that the checks run in.
        programs: the peers' programs by name.
        seconds: most time for one case.
        tell_check: whether the peers hear of the check; HAL9 always does.
    """

    url: str
    model: str
    python: Path
    programs: dict[str, Path]
    seconds: float = 300
    tell_check: bool = False


def run_arm(arm: str, case: Case, folder: Path, bench: Bench) -> str:
    """Let the agent work in `folder`; what it said when it did not end well.

    Raises:
        TimeoutError: it was not done in time.
    """
    if arm.startswith("hal9-"):
        return asyncio.run(_hal9(arm.removeprefix("hal9-"), case, folder, bench))
    command = _mini(case, bench) if arm == "mini-swe-agent" else _aider(arm, case, bench)
    return _peer(command, folder, bench)


async def _hal9(mode: str, case: Case, folder: Path, bench: Bench) -> str:
    home = init_home(folder.parent / "home")
    for path in home.neurons.glob("l2-*.md"):
        path.write_text(path.read_text().replace("layer = 2\n", f'layer = 2\nmode = "{mode}"\n'))
    text = home.settings_file.read_text()
    for old, new in (
        ("  default: auto ", f'  default: "openai:{bench.url}#{bench.model}" '),
        ('  environment: ""', f'  environment: "{bench.python.parent.parent}"'),
    ):
        assert old in text, old
        text = text.replace(old, new, 1)
    home.settings_file.write_text(text)
    os.environ["OPENAI_API_KEY"] = "none"
    task = None
    async with Daemon(home), connect(home.root) as cluster:
        task_id = await cluster.submit(case.task, workspace=folder, check=case.check)
        with contextlib.suppress(TimeoutError):  # inside, where it does not end the daemon as an error would
            task = await cluster.wait(task_id, timeout_seconds=bench.seconds)
    if task is None:
        raise TimeoutError(f"not done within {bench.seconds:g} s")
    error = task.result.error if task.result else None
    return "" if task.state == "done" or error is None else f"{error.reason}: {error.message}"


def _mini(case: Case, bench: Bench) -> list[str]:
    told = f"\nIt is done when this command ends with 0: `{case.check}`" if bench.tell_check else ""
    return [
        str(bench.programs["mini-swe-agent"]), "-m", f"openai/{bench.model}", "-t", case.task + told, "-y", "--exit-immediately",
        "-o", "../mini.json",
    ]  # fmt: skip


def _aider(arm: str, case: Case, bench: Bench) -> list[str]:
    command = [
        str(bench.programs["aider"]), "--model", f"openai/{bench.model}", "--edit-format", "whole" if arm == "aider-whole" else "diff",
        "--yes-always", "--no-stream", "--no-check-update", "--no-analytics", "--no-show-model-warnings", "--no-auto-commits",
        "--no-pretty", "--no-gitignore", "--map-tokens", "1024", "--message", case.task,
    ]  # fmt: skip
    if bench.tell_check:
        command += ["--auto-test", "--test-cmd", case.check]
    return [*command, *([case.file] if case.file else [])]


def _peer(command: Sequence[str], folder: Path, bench: Bench) -> str:
    outside = folder.parent
    env = {
        **os.environ, "OPENAI_API_BASE": bench.url, "OPENAI_BASE_URL": bench.url, "OPENAI_API_KEY": "none",
        "HOME": str(outside / "user"), "PATH": f"{bench.python.parent}:{os.environ['PATH']}",
        "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_GLOBAL_CONFIG_DIR": str(outside / "user"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    (outside / "user").mkdir(exist_ok=True)
    bwrap = shutil.which("bwrap")
    assert bwrap, "the peers run only in bubblewrap"
    jail = [
        bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", str(outside), str(outside),
        "--unshare-pid", "--die-with-parent", "--chdir", str(folder),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            [*jail, *command], check=False, env=env, capture_output=True, text=True, errors="replace",
            timeout=bench.seconds, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not done within {bench.seconds:g} s") from error
    (outside / "said.txt").write_text(done.stdout + done.stderr)
    return f"exit {done.returncode}: {(done.stdout + done.stderr)[-400:]}" if done.returncode else ""
