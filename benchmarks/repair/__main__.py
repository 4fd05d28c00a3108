"""Who repairs the seeded faults with the perfect model, and for how many tokens.

    python -m benchmarks.repair --sources DIR --tests PYTHON [--mini PROGRAM] [--aider PROGRAM] [--only NAME]

`--tests` is the Python of an environment with pytest and freezegun; peers live in environments of their own.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.repair.faults import FAULTS, Fault
from benchmarks.repair.oracle import Oracle, Usage
from benchmarks.repair.seed import checkout, fetch, passes
from hal9.cluster import Daemon, connect, init_home

RESULTS = Path(__file__).parents[1] / "results" / "repair-oracle.json"


async def hal9(mode: str, faults: list[Fault], scratch: Path, oracle: Oracle, python: Path) -> None:
    """All faults through one cluster."""
    home = init_home(scratch / "home")
    for path in home.neurons.glob("l2-*.md"):
        path.write_text(path.read_text().replace("layer = 2\n", f'layer = 2\nmode = "{mode}"\n'))
    text = home.settings_file.read_text()
    text = text.replace("  default: auto ", f'  default: "openai:{oracle.url}#oracle" ', 1)
    text = text.replace('  environment: ""', f'  environment: "{python.parent.parent}"', 1)
    home.settings_file.write_text(text)
    os.environ["OPENAI_API_KEY"] = "none"
    async with Daemon(home), connect(home.root) as cluster:
        for fault in faults:
            task_id = await cluster.submit(fault.symptom, workspace=scratch / fault.name, check=fault.check)
            task = await cluster.wait(task_id, timeout_seconds=900)
            if task.state != "done" and task.result and task.result.error:
                print(mode, fault.name, task.result.error.reason, task.result.error.message[:300], flush=True)


def mini(program: Path, fault: Fault, folder: Path, oracle: Oracle) -> None:
    env = {
        **os.environ, "OPENAI_API_BASE": oracle.url, "OPENAI_BASE_URL": oracle.url, "OPENAI_API_KEY": "none",
        "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_GLOBAL_CONFIG_DIR": str(folder.parent / "mini-config"),
    }  # fmt: skip
    command = [
        program,
        "-m",
        "openai/oracle",
        "-t",
        fault.symptom,
        "-y",
        "--exit-immediately",
        "-o",
        folder.parent / "mini.json",
    ]
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        print("mini", fault.name, done.stdout[-500:], done.stderr[-500:])


def aider(program: Path, fault: Fault, folder: Path, oracle: Oracle) -> None:
    env = {**os.environ, "OPENAI_API_BASE": oracle.url, "OPENAI_API_KEY": "none", "HOME": str(folder.parent)}
    command = [
        program, "--model", "openai/oracle", "--edit-format", "diff", "--yes-always", "--no-stream", "--no-check-update",
        "--no-analytics", "--no-show-model-warnings", "--no-auto-commits", "--no-pretty", "--no-gitignore",
        "--map-tokens", "1024", "--message", fault.symptom,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        print("aider", fault.name, done.stdout[-500:], done.stderr[-500:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--tests", type=Path, required=True)
    parser.add_argument("--mini", type=Path)
    parser.add_argument("--aider", type=Path)
    parser.add_argument("--arms", nargs="*", default=["hal9-tools", "hal9-answer", "mini-swe-agent", "aider"])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", type=Path, default=RESULTS)
    options = parser.parse_args()
    fetch(options.sources)
    faults = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    kept: dict[str, Any] = json.loads(options.keep.read_text()) if options.keep.exists() else {}
    programs = {"mini-swe-agent": options.mini, "aider": options.aider}
    arms = [arm for arm in options.arms if arm.startswith("hal9") or programs[arm]]
    for arm in arms:
        scratch = Path(tempfile.mkdtemp(prefix="hal9-repair-"))
        try:
            lines = {}
            for fault in faults:
                checkout(fault, options.sources, scratch / fault.name)
                text = (scratch / fault.name / fault.path).read_text()
                lines[fault.name] = (
                    text[: text.index(fault.bad)].count("\n")
                    + 1
                    + fault.bad.split("\n").index(
                        next(one for one in fault.bad.split("\n") if one.strip() == fault.line)
                    )
                )
            began = time.monotonic()
            with Oracle(lines) as oracle:
                if arm.startswith("hal9"):
                    asyncio.run(hal9(arm.removeprefix("hal9-"), faults, scratch, oracle, options.tests))
                else:
                    for fault in faults:
                        if arm == "aider":
                            aider(options.aider, fault, scratch / fault.name, oracle)
                        else:
                            mini(options.mini, fault, scratch / fault.name, oracle)
                rows = {
                    fault.name: {
                        "solved": passes(fault, scratch / fault.name, options.tests),
                        **vars(oracle.usage.get(fault.name, Usage())),
                    }
                    for fault in faults
                }
            kept.setdefault(arm, {}).update(rows)
            solved = sum(row["solved"] for row in rows.values())
            prompt = sum(row["prompt_tokens"] for row in rows.values())
            calls = sum(row["calls"] for row in rows.values())
            print(
                f"{arm}: {solved} of {len(rows)}, {prompt} prompt tokens, {calls} calls, {time.monotonic() - began:.0f} s",
                flush=True,
            )
            print("  not:", [name for name, row in rows.items() if not row["solved"]], flush=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        options.keep.parent.mkdir(exist_ok=True)
        options.keep.write_text(json.dumps(kept, indent=1) + "\n")


main()
