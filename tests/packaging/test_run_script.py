"""`scripts/run`, the first thing that a newcomer calls, from the start to the answer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_from_a_checkout_to_an_answered_task(tmp_path: Path) -> None:
    """All of it but the installation, which tests/packaging/test_wheel.py does."""
    for name in ("config", "neurons", "memory", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "run", tmp_path / "scripts" / "run")
    setup = tmp_path / "scripts" / "setup"
    setup.write_text("#!/bin/sh\n")
    setup.chmod(0o755)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    hal9 = programs / "hal9"
    hal9.write_text(f'#!/bin/sh\nexec {sys.executable} -m hal9 "$@"\n')
    hal9.chmod(0o755)
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HAL9_MODEL": "scripted:tests.support.scripts:words",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    try:
        done = subprocess.run(
            ["scripts/run"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "check passed" in done.stdout
        assert (tmp_path / "build" / "sample" / "words.py").is_file()
    finally:
        subprocess.run([hal9, "stop", "--force"], cwd=tmp_path, env=environ, capture_output=True, timeout=90)
