from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bus.harness import Broker, Embedded, Loopback, embedded, mosquitto, mosquitto_missing

MOSQUITTO = pytest.param("mosquitto", marks=pytest.mark.mosquitto)


@asynccontextmanager
async def started(kind: str, directory: Path) -> AsyncIterator[Broker]:
    if kind == "loopback":
        yield Loopback()
    elif kind == "embedded":
        async with embedded(directory / "broker") as nats:
            yield nats
    else:
        if mosquitto_missing():
            pytest.skip("mosquitto is not installed (Debian package: mosquitto)")
        async with mosquitto(directory / "mosquitto") as other:
            yield other


@pytest.fixture(params=["loopback", "embedded", MOSQUITTO])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each broker in turn."""
    async with started(request.param, tmp_path) as running:
        yield running


@pytest.fixture(params=["embedded", MOSQUITTO])
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each broker that knows logins and permissions."""
    async with started(request.param, tmp_path) as running:
        yield running


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Embedded]:
    async with embedded(tmp_path / "broker") as running:
        yield running
