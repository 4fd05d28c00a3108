"""Code blocks of the documentation, and the one list of what is not run and why."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
LANGUAGES = ("console", "json", "markdown", "python", "sh", "text", "yaml")

NOT_RUN = {
    "scripts/run": "installs the product and pulls a model; the packaging test does it from a wheel",
    "scripts/test": "is what runs this test",
    "pip install ": "installs; tests/packaging checks name and extras of every such line",
    "ripmap-train --curated": "asks a model for fifty episodes",
    "ripmap-train --strategy cmaes": "trains on the corpus for minutes",
    "dask ": "starts a server on another machine; tests/trainer/test_dask.py starts real ones here",
    "ripmap-train --strategy tpe --budget 200 --executor": "needs that server",
    "ripmap-train --repo .": "asks a model for episodes",
    "ripmap-train --ledger my_run": "needs the run of the block above",
    "ripmap-train --list": "needs a training folder with runs",
    "ripmap-train --distill": "needs a finished run",
    "ripmap-train-outer": "asks two models for hours",
    "ripmap --preset mine": "needs the preset of a finished run",
    "hal9 --home training/runs/my_run": "needs a finished run",
    "hal9 submit --workload ripmap-train": "trains for minutes",
    "hal9 watch TASK": "a place to fill in",
    "hal9 cancel TASK": "a place to fill in",
    "hal9 weights --explain FROM TO": "a place to fill in",
    "hal9 trace ID": "a place to fill in",
    "hal9 login https://hal9.example.org": "a server of somebody's; tests/cli logs in to a real one",
    "hal9 --profile work": "the same server",
    "hal9 eval suite.yaml": "runs a dozen clusters; tests/evaluation does it",
    "hal9 tune l2-implementer tasks.yaml": "asks a model two hundred times",
    "hal9 state move sqlite:": "a database of somebody's; tests/state moves to a real one",
    "hal9 drain left": "a host of somebody's; tests/state has real ones",
    "hal9 learn ~/.claude/projects": "reads the person's own runs; examples/claude-code-logs does it on a copy",
}
"""Beginning of a line in a shell block: why it is not run here."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    path: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def documents() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [one for one in listed.stdout.split() if one.startswith(("docs/", "README.md", "examples/"))]


def blocks() -> Iterator[Block]:
    """All code blocks; indented ones have no language."""
    for path in documents():
        for token in MarkdownIt().parse((ROOT / path).read_text(encoding="utf-8")):
            if token.type in ("fence", "code_block") and token.map:
                language = token.info.strip() if token.type == "fence" else ""
                yield Block(path, token.map[0] + 1, language, token.content)


def commands(block: Block) -> list[str]:
    """What a person would type: the lines of a shell block, those after `$ ` of a console block."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [one[2:] for one in lines if one.startswith("$ ")]
    return [one for one in lines if one.strip() and not one.lstrip().startswith("#")]


def reason(command: str) -> str:
    """Why a command is not run; "" when it is."""
    return next((why for start, why in NOT_RUN.items() if command.strip().startswith(start)), "")
