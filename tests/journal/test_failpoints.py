import os
import subprocess
import sys

import pytest

from hal9.errors.journal import UnknownFailpoint
from hal9.journal import failpoints


def run(armed: str) -> int:
    code = "from hal9.journal import failpoints\nfor _ in range(3):\n    failpoints.failpoint('published')"
    environment = {**os.environ, failpoints.ENVIRONMENT_VARIABLE: armed}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    ).returncode


def test_an_unarmed_process_lives() -> None:
    assert run("") == 0
    assert run("received:1") == 0
    assert run("published:4") == 0


def test_an_armed_process_dies_by_sigkill_at_the_given_hit() -> None:
    assert run("published:3") == -9


def test_an_unknown_point_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.ENVIRONMENT_VARIABLE, "nonsense:1")
    failpoints._armed.cache_clear()
    try:
        with pytest.raises(UnknownFailpoint, match="nonsense"):
            failpoints.failpoint("published")
    finally:
        monkeypatch.undo()
        failpoints._armed.cache_clear()
