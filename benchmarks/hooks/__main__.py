"""How long another agent waits for `hal9 hook`: whole processes, with a daemon running and without one.

Usage: scripts/bench hooks [--calls 60]. The bars: 95 of 100 within 50 ms with a daemon, 150 ms without.
The calls find compiled bytecode, as those of an installed program do, whatever PYTHONDONTWRITEBYTECODE says.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import table, write
from hal9.cluster import Home, init_home, read_status, stop_daemon
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.memory import MemoryStore

BIN = Path(sys.executable).parent / "hal9"
GUARD = "when: {program: git, subcommand: push, flag: '--force*'}\neffect: require\nsay: Never force a push."
PLAIN = "PreToolUse that nothing stops"
CALLS: dict[str, dict[str, object]] = {
    PLAIN: {"tool_name": "Bash", "tool_input": {"command": "ls -la src"}},
    "PreToolUse": {"tool_name": "Bash", "tool_input": {"command": "git push --force"}},
    "PostToolUse": {
        "tool_name": "Bash",
        "tool_input": {"command": "pytest -q"},
        "tool_response": {"stdout": "", "stderr": "bash: pytest: command not found", "exit_code": 127},
    },
    "UserPromptSubmit": {"prompt": "Please write the due date into billing/terms.py"},
}


def call(home: Home, event: str, number: int) -> float:
    """Seconds of one call, from starting the process to its end."""
    body: dict[str, object] = {**CALLS[event], "session_id": f"s{number % 5}", "cwd": str(home.root)}
    begun = time.perf_counter()
    done = subprocess.run(
        [str(BIN), "--home", str(home.root), "hook", event.split(maxsplit=1)[0]],
        input=json.dumps(body).encode(),
        check=True,
        capture_output=True,
        env=_compiled(home),
    )
    seconds = time.perf_counter() - begun
    answer = json.loads(done.stdout)
    if event == "PreToolUse" and "deny" not in json.dumps(answer):
        raise SystemExit(f"the guard did not fire: {answer}; see {home.state / 'hooks.log'}")
    return seconds


def _compiled(home: Home) -> dict[str, str]:
    """An environment in which bytecode is kept, in a folder of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(home.root.parent / "bytecode")}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    calls = parser.parse_args().calls
    figures: dict[str, list[float]] = {}
    figures["python -c ''"] = []
    for _ in range(calls):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", ""], check=True)
        figures["python -c ''"].append(time.perf_counter() - begun)
    with tempfile.TemporaryDirectory() as folder:
        home = init_home(Path(folder) / "home")
        home.make_state()
        with MemoryStore(home.memory) as store:
            book = GuardStore(store)
            book.accept(book.add(parse_guard(GUARD), workspace="*", source="user", cause="b"), [], cause="b")
        for event in CALLS:
            call(home, event, 0)  # compiles
            figures[f"{event}, no daemon"] = [call(home, event, number) for number in range(calls)]
        environ = {**os.environ, "HAL9_MODEL": "scripted:benchmarks.cluster.hal9_passes:instant"}
        process = subprocess.Popen([str(BIN), "--home", str(home.root), "up", "--log-to-stderr"], env=environ,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            while read_status(home).get("state") != "ready":
                time.sleep(0.01)
            for event in CALLS:
                call(home, event, 0)  # loads the model of meanings
                figures[f"{event}, daemon"] = [call(home, event, number) for number in range(calls)]
        finally:
            stop_daemon(home, seconds=30)
            process.wait()
    rows = [
        (name, *(f"{1000 * percentile(values, share):.0f}" for share in (0.5, 0.95, 0.99)))
        for name, values in figures.items()
    ]
    table("hal9 hook, milliseconds", ("", "median", "95 %", "99 %"), rows)
    write("hooks", {"calls": calls}, figures)


if __name__ == "__main__":
    main()
