"""The examples run from beginning to end, each in a process of its own with a scripted mind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "house-rules": ("adder", ("begins with a docstring", "done", "recalled")),
    "sql-neuron": ("asks_the_database", ("l2-sql", "Ada spent 1500")),
    "two-machines": ("adder", ("+++ b/adder.py", "check passed")),
    "claude-code-logs": ("adder", ("run: pytest failed in 3 runs", "known_before")),
    "causes-of-failures": ("adder", ("15 done, 15 failed",)),
}


def test_every_example_is_tested_and_listed() -> None:
    folders = {one.parent.name for one in (ROOT / "examples").glob("*/run.sh")}
    assert folders == set(EXAMPLES)
    listed = (ROOT / "examples" / "README.md").read_text()
    assert all(f"({name}/)" in listed for name in folders)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    mind, told = EXAMPLES[name]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HAL9_")} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "HAL9_MODEL": f"scripted:tests.support.scripts:{mind}",
    }
    done = subprocess.run(
        [ROOT / "examples" / name / "run.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    said = done.stdout + done.stderr
    assert [one for one in told if one not in said] == [], said[-3000:]
    assert list(tmp_path.glob("tmp.*")) == [], "it leaves nothing behind"
