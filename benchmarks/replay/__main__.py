"""Replays recorded runs through whole daemons and compares the diffs they end with.

    python -m benchmarks.replay RUNS.jsonl.gz MIRRORS [--only REPO] [--most N] [--seed N]

MIRRORS holds bare repositories as ``OWNER+NAME/repo``. Each run gets a fresh home and a clone at its base
commit; its daemon is killed with SIGKILL once at a random step and started again.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.replay.mind import commands_of, runs
from hal9.cluster import connect, init_home

RESULTS = Path(__file__).parents[1] / "results" / "replay.json"
_SETTINGS = (
    ("  steps: 60 ", "  steps: 400 "),
    ("  output_kb: 64 ", "  output_kb: 2048 "),
    ("    first_check: true ", "    first_check: false "),
)


def clone(mirrors: Path, run: dict[str, Any], target: Path) -> bool:
    """The repository at the run's base commit; False when the mirror does not have it."""
    bare = mirrors / run["repo"].replace("/", "+") / "repo"
    known = ["git", "-C", bare, "cat-file", "-e", run["base_commit"]]
    if subprocess.run(known, check=False, capture_output=True).returncode:
        return False
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", bare, target], check=True)
    subprocess.run(
        ["git", "-C", target, "checkout", "-q", run["base_commit"]], check=True, capture_output=True
    )
    return True


def per_file(diff: str) -> dict[str, str]:
    """A git diff by file; object names are cut to seven digits, for their length depends on the repository."""
    found: dict[str, str] = {}
    for part in re.split(r"(?m)^(?=diff --git )", diff):
        head = re.match(r"diff --git a/(.*?) b/", part)
        if head:
            body = re.sub(
                r"(?m)^index ([0-9a-f]{7})[0-9a-f]*\.\.([0-9a-f]{7})[0-9a-f]*", r"index \1..\2", part
            )
            found[head.group(1)] = body.rstrip("\n")
    return found


def recorded(home: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many replies are in the journal, and the results so far."""
    path = home / ".hal9" / "journal.db"
    if not path.exists():
        return 0, []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        try:
            rows = connection.execute("SELECT kind, body FROM turn_entries ORDER BY position").fetchall()
        except sqlite3.OperationalError:
            return 0, []
    results = [json.loads(body) for kind, body in rows if kind == "result"]
    return sum(1 for kind, _ in rows if kind == "reply"), results


def start(home: Path, archive: Path, log: Path) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "HAL9_MODEL": "scripted:benchmarks.replay.mind:replay",
        "HAL9_REPLAY_RUNS": str(archive),
    }
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.replay.serve", str(home)],
            env=env,
            stdout=stream,
            stderr=stream,
        )


async def one(
    run: dict[str, Any], archive: Path, mirrors: Path, chance: random.Random, *, at: int | None = None
) -> dict[str, Any]:
    """Replay one run, killed at the reply `at` or at a random one; what came of it."""
    name = run["instance_id"]
    folder = Path(tempfile.mkdtemp(prefix="hal9-replay-"))
    found: dict[str, Any] = {"instance": name, "commands": len(commands_of(run))}
    process = None
    try:
        if not clone(mirrors, run, folder / "testbed"):
            return {**found, "outcome": "base commit not in the mirror"}
        home = init_home(folder / "home")
        text = home.settings_file.read_text()
        for old, new in _SETTINGS:
            assert old in text, old
            text = text.replace(old, new, 1)
        home.settings_file.write_text(text)
        async with connect(home.root) as cluster:
            task_id = await cluster.submit(
                f"replay {name}", workspace=folder / "testbed", timeout_seconds=3600, budget_usd=None
            )
            die_at = at or chance.randint(1, len(commands_of(run)))
            began = time.monotonic()
            process = start(home.root, archive, folder / "log.txt")
            while process.poll() is None and recorded(home.root)[0] < die_at:
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.random() * 0.1)
            before = recorded(home.root)[0]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process = start(home.root, archive, folder / "log.txt")
            task = await cluster.wait(task_id, timeout_seconds=900)
            patch = "".join(change.diff for change in task.result.changes) if task.result else ""
        _, results = recorded(home.root)
        found |= judge(run, results)
        found |= {
            "killed_at_reply": before,
            "state": task.state,
            "error": task.result.error.message if task.result and task.result.error else "",
            "seconds": round(time.monotonic() - began, 1),
            "changed_files": patch.count("@@ -") and len(task.result.changes) if task.result else 0,
        }
    except TimeoutError:
        found["outcome"] = "not finished within 900 s"
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def judge(run: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare with the record: the diff, and that each command was carried out once."""
    done: dict[int, int] = {}
    interrupted = 0
    output = ""
    for body in results:
        if body["observation"]["summary"] == "interrupted":
            interrupted += 1
            continue
        if body["tool"] == "bash":
            number = int(body["call_id"].split("-")[1])
            done[number] = done.get(number, 0) + 1
            output = body["observation"]["full"] or body["observation"]["text"]
    ours, theirs = per_file(output.rsplit("\n[exit code", 1)[0]), per_file(run["submission"] or "")
    said = "\n".join(commands_of(run))
    # What stood in the recording's container before the run is no work of its commands.
    foreign = sorted(path for path in theirs if path not in ours and Path(path).name not in said)
    same = {path: ours[path] for path in ours} == {p: d for p, d in theirs.items() if p not in foreign}
    return {
        "outcome": "byte-equal" if same else "different",
        "twice": sum(1 for count in done.values() if count > 1),
        "missing": len(commands_of(run)) - len(done),
        "interrupted": interrupted,
        "not_of_the_run": foreign[:5],
        "differing": [] if same else sorted(p for p in {*ours, *theirs} if ours.get(p) != theirs.get(p))[:8],
        "ours": "" if same else output[:4000],
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at", type=int, help="Kill at this reply instead of a random one.")
    parser.add_argument("--keep", type=Path, default=RESULTS)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    known: list[dict[str, Any]] = (
        json.loads(options.keep.read_text())["runs"] if options.keep.exists() else []
    )
    have = {row["instance"] for row in known}
    chosen = [
        run
        for run in runs(str(options.archive)).values()
        if re.fullmatch(options.only or ".*", run["instance_id"])
        and (options.mirrors / run["repo"].replace("/", "+")).is_dir()
        and run["instance_id"] not in have
    ][: options.most]
    for run in chosen:
        row = await one(run, options.archive, options.mirrors, chance, at=options.at)
        known.append(row)
        print(json.dumps(row), flush=True)
        options.keep.parent.mkdir(exist_ok=True)
        options.keep.write_text(json.dumps({"runs": known}, indent=1) + "\n")
    equal = sum(1 for row in known if row.get("outcome") == "byte-equal")
    print(f"{equal} of {len(known)} byte-equal; executed twice: {sum(row.get('twice', 0) for row in known)}")


asyncio.run(main())
