"""A population's log is read as typed entries, old ones included."""

from pathlib import Path

import pytest

from hal9.errors.trainer import ScratchpadInvalid
from hal9.trainer.record.episodes import entry_problem
from hal9.trainer.record.run_log import RunLog

TURN = {"outer_step": 0, "number": 3, "step": 1, "what": "turn", "node": "l1", "facts": {"trial": None}}


def test_an_entry_says_what_happened_to_whom() -> None:
    assert entry_problem("outer", TURN) == ""
    # Entries of the first releases had no numbers of the population's own.
    assert entry_problem("outer", {key: TURN[key] for key in ("outer_step", "what", "node", "facts")}) == ""
    assert entry_problem("outer", {**TURN, "facts": "none"}).startswith("facts")
    assert entry_problem("outer", {key: TURN[key] for key in ("outer_step", "what", "facts")}).startswith(
        "node"
    )


def test_a_log_whose_entry_is_none_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "outer_scratchpad.json"
    pad = RunLog.create(path, "outer", {})
    pad.append(TURN)
    pad.append({**TURN, "node": 7})
    with pytest.raises(ScratchpadInvalid, match=r"episode 1 is none \(node"):
        RunLog.load(path)
