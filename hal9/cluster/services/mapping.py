"""The ranked map of a workspace for neurons, drawn by ripmap in a process of its own that can be ended."""

import asyncio
import contextlib
import json
import logging
import os
import posixpath
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal9.neurons.messages.likely_bodies import SymbolPlace
from hal9.processes import end_group
from hal9.settings import RepositoryMapSettings

__all__ = ["RipmapMapper", "clear_winner"]

_log = logging.getLogger("hal9.cluster.services.mapping")
# No key of a provider's reaches a process that reads other people's files.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
           "RIPMAP_CACHE_DIR")  # fmt: skip
_MEMORY_MB = 3072
_AT_ONCE = 2
_LOOKED_AT = 5
_CLEAR = 0.7


@dataclass(frozen=True, slots=True)
class RipmapMapper:
    """A `RepositoryMapper` over `hal9.ripmap`, within the limits of `repository_map`."""

    settings: RepositoryMapSettings
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def map(self, workspace: Path, task: str, *, tokens: int) -> str:
        """The map, or nothing when the workspace is small.

        A workspace that cannot be mapped within the limits is shown without a map, and the log says why.
        """
        return (await self.map_with_symbols(workspace, task, tokens=tokens, symbols=0))[0]

    async def map_with_symbols(
        self, workspace: Path, task: str, *, tokens: int, symbols: int
    ) -> tuple[str, list[SymbolPlace]]:
        """The map, and the places of the best symbols; nothing as with `map`."""
        found = await self._ask(workspace, task, {"tokens": tokens, "symbols": symbols})
        return found["map"], [SymbolPlace(*place) for place in found["symbols"]]

    async def likely_files(self, workspace: Path, task: str) -> list[str]:
        """The file that the task is most likely about, when its folder clearly is; else nothing.

        Clear means: the folder of the first file has 70% of the fourth powers of the scores of the first five
        (measured in `benchmarks/learning/places`).
        """
        found = await self._ask(workspace, task, {"tokens": 0, "symbols": 0, "files": _LOOKED_AT})
        return clear_winner([(str(path), float(score)) for path, score in found["files"]])

    async def _ask(self, workspace: Path, task: str, wanted: dict[str, int]) -> dict[str, Any]:
        nothing: dict[str, Any] = {"map": "", "symbols": [], "files": []}
        asked = {
            "workspace": str(workspace),
            "task": task,
            **wanted,
            "min_files": self.settings.min_files,
            "max_files": self.settings.max_files,
            "seconds": self.settings.timeout_seconds,
            "memory_mb": _MEMORY_MB,
            "cache_megabytes": self.settings.cache_megabytes,
        }
        seconds = self.settings.timeout_seconds
        async with self._turns:
            try:
                async with asyncio.timeout(seconds):
                    code, drawn, said = await _draw(asked)
            except TimeoutError:
                _log.warning("no map of %s: it takes longer than %.0f s", workspace, seconds)
                return nothing
        if code != 0:
            _log.warning("no map of %s: %s", workspace, said.strip()[-500:] or f"exit code {code}")
            return nothing
        return dict(json.loads(drawn))


def clear_winner(ranked: Sequence[tuple[str, float]]) -> list[str]:
    """The first of ranked files, when its folder outweighs the others; else nothing."""
    weights: dict[str, float] = {}
    for path, score in ranked[:_LOOKED_AT]:
        folder = posixpath.dirname(path)
        weights[folder] = weights.get(folder, 0.0) + max(score, 0.0) ** 4
    total = sum(weights.values())
    if not total or weights[posixpath.dirname(ranked[0][0])] < _CLEAR * total:
        return []
    return [ranked[0][0]]


async def _draw(asked: dict[str, object]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "hal9.ripmap.serving.bounded_map"),
        cwd="/",
        env={name: os.environ[name] for name in _PASSED if name in os.environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("a child with pipes has all three")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            await process.stdin.drain()
        # Its input stays open: the end of it would end the child.
        drawn, said = await asyncio.gather(process.stdout.read(), process.stderr.read())
        code = await process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await end_group(process, grace_seconds=0.1)
    return code, drawn.decode("utf-8", "replace"), said.decode("utf-8", "replace")
