"""Workspaces and snapshots for the tests of the workbench."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot

OpenSnapshot = Callable[..., AbstractAsyncContextManager[Snapshot]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / "a.py").write_text("x = 1\n")
    (root / "sub" / "rc").write_text("inside\n")
    return root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Files of the user's that no task may reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "rc").write_text("the user's own\n")
    return folder


@pytest.fixture
def opened(tmp_path: Path, workspace: Path) -> OpenSnapshot:
    """Opens (or continues) the snapshot of the workspace; keywords are settings, or parts of its place."""

    @asynccontextmanager
    async def open_it(
        *, mark: str | None = None, network: bool = False, **options: Any
    ) -> AsyncIterator[Snapshot]:
        parts = {
            name: options.pop(name)
            for name in ("remove", "hidden", "environment", "seen_as", "changes")
            if name in options
        }
        root = options.pop("workspace", workspace)
        settings = WorkbenchSettings.model_validate({"isolation": "none", **options})
        place = Place(root, tmp_path / "state" / "snapshot", **parts)
        async with Snapshot(place, settings, network=network, mark=mark) as snapshot:
            yield snapshot

    return open_it
