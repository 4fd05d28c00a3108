"""HumanEval problems as tasks: a public check from the docstring's own examples, a hidden test for the score."""

import doctest
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `test` is never shown to a model."""

    id: str
    prompt: str
    entry_point: str
    test: str

    @property
    def objective(self) -> str:
        """What the model is asked, by the cluster and bare alike."""
        return f"Complete this Python function and write the whole file solution.py:\n\n```python\n{self.prompt}```"

    def public_check(self) -> str:
        """A program that runs the docstring's examples against solution.py."""
        examples = []
        for example in doctest.DocTestParser().get_examples(self.prompt):
            source = example.source.strip()
            # The last example runs into the end of the docstring.
            want = example.want.split('"""')[0].split("'''")[0].strip()
            if source.startswith(self.entry_point) and want:
                examples.append((source, want))
        lines = [f"from solution import {self.entry_point}", f"assert callable({self.entry_point})"]
        for source, want in examples:
            lines.append(f"got = {source}")
            lines.append(
                f"assert repr(got) == {want!r} or str(got) == {want!r}, {source!r} + ' returned ' + repr(got) + ', expected ' + {want!r}"
            )
        return "\n".join(lines) + "\n"

    def passes(self, solution: str) -> bool:
        """Whether the hidden test passes."""
        program = f"from solution import *\nfrom solution import {self.entry_point}\n{self.test}\ncheck({self.entry_point})\n"
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "solution.py").write_text(solution)
            Path(folder, "hidden.py").write_text(program)
            command = [sys.executable, "hidden.py"]
            limited = ["/bin/sh", "-c", 'ulimit -v 2000000; ulimit -t 30; exec "$@"', "sh", *command]
            try:
                done = subprocess.run(limited, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return False
        return done.returncode == 0


def load(count: int) -> list[Problem]:
    """The first problems of the shared file; HAL9_SHARED names its folder."""
    shared = Path(os.environ.get("HAL9_SHARED", ROOT.parent / "shared"))
    path = shared / "data" / "humaneval.jsonl"
    if not path.is_file():
        raise SystemExit(f"{path} is not there; HAL9_SHARED names the folder that holds data/humaneval.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()[:count]]
    return [Problem(row["task_id"], row["prompt"], row["entry_point"], row["test"]) for row in rows]
