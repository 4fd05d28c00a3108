"""The wheel as somebody else gets it: installed into an empty environment on each Python at hand, and used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
MIND = """
def greets(request):
    return "Good morning."
"""


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**{key: value for key, value in os.environ.items() if key != "PYTHONPATH"}, **environ},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def interpreter(version: str) -> str | None:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    for candidate in (*map(str, kept), shutil.which(f"python{version}")):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    assert built.name.startswith("hal9_cluster-")
    return built


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", VERSIONS)
def test_installed_it_answers_here_and_over_http(wheel: Path, version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    run(python, "-m", "venv", "env", cwd=tmp_path)
    bin_ = tmp_path / "env" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    home, mind = tmp_path / "home", tmp_path / "mind"
    home.mkdir()
    mind.mkdir()
    (mind / "greeting.py").write_text(MIND)
    scripted = {"HAL9_MODEL": "scripted:greeting:greets", "PYTHONPATH": str(mind)}
    for program in ("hal9", "ripmap", "holograph", "ripmap-train", "ripmap-train-outer"):
        assert (
            run(bin_ / program, "-h", cwd=tmp_path).stdout
            == run(bin_ / program, "--help", cwd=tmp_path).stdout
        )
        assert "0." in run(bin_ / program, "--version", cwd=tmp_path).stdout
    run(bin_ / "hal9", "init", cwd=home)
    (home / "words.py").write_text("def count_words(text: str) -> int:\n    return len(text.split())\n")
    assert "count_words" in run(bin_ / "ripmap", ".", "--task", "count words", cwd=home).stdout
    run(bin_ / "hal9", "up", "--detach", cwd=home, **scripted)
    try:
        assert "Good morning" in run(bin_ / "hal9", "submit", "Greet me", "--wait", cwd=home).stdout
        made = run(bin_ / "hal9", "token", "create", "other", "--json", cwd=home)
        url = json.loads((home / ".hal9" / "api.json").read_text())["url"]
        far = {"HAL9_URL": url, "HAL9_TOKEN": json.loads(made.stdout)["token"]}
        assert (
            "Good morning" in run(bin_ / "hal9", "submit", "Greet me", "--wait", cwd=tmp_path, **far).stdout
        )
    finally:
        subprocess.run([bin_ / "hal9", "stop", "--force"], cwd=home, capture_output=True)
