"""What is in deploy/ is well-formed, and names programs and paths that exist."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_unit_says_what_systemd_understands() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "hal9.service")
    assert set(unit) >= {"Unit", "Service", "Install"}
    start = unit["Service"]["ExecStart"].split()
    assert start[1:] == ["--home", unit["Service"]["WorkingDirectory"], "up"]
    assert unit["Service"]["ReadWritePaths"] == unit["Service"]["WorkingDirectory"]


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = (DEPLOY / "hal9.service").read_text().replace("/opt/hal9/bin/hal9", "/bin/true")
    (tmp_path / "hal9.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "hal9.service")],
        capture_output=True,
        text=True,
    )
    complaints = [one for one in done.stderr.splitlines() if "hal9.service:" in one and "Unknown" in one]
    assert complaints == []


def test_the_compose_file_builds_the_container_file_and_keeps_the_home() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = compose["services"]["hal9"]
    container = (DEPLOY / "Containerfile").read_text()
    assert (
        DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]
    ).resolve() == DEPLOY / "Containerfile"
    (volume,) = service["volumes"]
    name, target = volume.split(":")
    assert name in compose["volumes"]
    assert f"VOLUME {target}" in container
    instructions = {line.split()[0] for line in container.splitlines() if re.match(r"[A-Z]+ ", line)}
    assert instructions <= {
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "WORKDIR",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "CMD",
    }
    assert container.index("model pull") < container.index("FROM python:3.12-slim\n")
