"""The ranked map of a workspace for neurons, drawn by ripmap in a worker thread."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.base import RipmapError

__all__ = ["RipmapCartographer"]

_log = logging.getLogger("hal9.cluster.mapping")


@dataclass(frozen=True, slots=True)
class RipmapCartographer:
    """A `RepositoryMapper` over `hal9.ripmap`; workspaces with fewer files need no map."""

    min_files: int

    async def map(self, workspace: Path, task: str, *, tokens: int) -> str:
        """The map, or nothing when the workspace is small.

        A workspace that cannot be ranked is shown without a map, and the log says why.
        """
        if await asyncio.to_thread(_fewer_files, workspace, self.min_files):
            return ""
        from hal9.ripmap import render_map  # noqa: PLC0415 - tree-sitter loads only when a map is drawn

        try:
            return await asyncio.to_thread(render_map, workspace, task, tokens)
        except RipmapError as error:
            _log.warning("no map of %s: %s", workspace, error)
            return ""


def _fewer_files(workspace: Path, limit: int) -> bool:
    count = 0
    for path in workspace.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(workspace).parts):
            count += 1
            if count >= limit:
                return False
    return True
