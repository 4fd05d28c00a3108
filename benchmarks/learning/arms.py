"""What the arms of the benchmark differ in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hal9.cluster import Home, init_home

MindName = Literal["local", "local:qwen2.5-coder-1.5b"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of running the stream.

    Attributes:
        name: in tables.
        learns: feedback is given and memories are recalled.
        corrected: the simulated user's feedback carries the corrected answer and the rule.
        gate: recall only within the exact scope.
        shuffled: feedback carries the content of another family.
        retry: a second try within the task, and how its prompt looks.
        oracle: the right rule and example are handed to the neuron, without any learning.
    """

    name: str
    learns: bool = False
    corrected: bool = True
    gate: bool = True
    shuffled: bool = False
    retry: Literal["", "resample", "append"] = ""
    oracle: bool = False


ARMS = (
    Arm("off"),
    Arm("on", learns=True),
    Arm("on, error text only", learns=True, corrected=False),
    Arm("on, no scope gate", learns=True, gate=False),
    Arm("on, shuffled", learns=True, shuffled=True),
    Arm("resampling", retry="resample"),
    Arm("Reflexion-style retry", retry="append"),
    Arm("oracle", oracle=True),
)


def make_home(folder: Path, arm: Arm) -> Home:
    """A home whose settings are the arm's."""
    home = init_home(folder)
    # One implementer: which of two neurons did a task must not be what differs between arms.
    (home.neurons / "l2-craftsman.md").unlink()
    changes = {
        "    attempts: 4                 #": f"    attempts: {2 if arm.retry else 1}                 #",
        "    retry_prompt: fresh ": f"    retry_prompt: {arm.retry or 'fresh'} ",
        "  tokens: {L4: 0, L3: 1024, L2: 1024}": "  tokens: {L4: 0, L3: 0, L2: 0}",
        "  task: {tokens: 200000,": "  task: {tokens: null,",
    }
    if not arm.learns and not arm.oracle:
        changes["  recall_limit: 3 "] = "  recall_limit: 0 "
    if not arm.learns:
        changes["  enabled: true                 # false: errors"] = (
            "  enabled: false                 # false: errors"
        )
    if not arm.gate:
        changes["  scope_gate: true "] = "  scope_gate: false "
    text = home.settings_file.read_text()
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"config/hal9.yaml has no line with {old!r}")
        text = text.replace(old, new, 1)
    home.settings_file.write_text(text)
    return home
