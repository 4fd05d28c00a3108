"""The half of travelling workspaces that works on one from elsewhere: fetches it, gives the changes back."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hal9.bus.exchange import LARGEST_BODY, Exchange
from hal9.errors.bus import ExchangeUnanswered
from hal9.errors.workbench import SnapshotDamaged, WorkspaceAway, WorkspaceConflict
from hal9.settings import Settings
from hal9.signals import TaskPayload
from hal9.signals.labels import WORKSPACE_AT, WORKSPACE_IS
from hal9.workbench import ChangeSet
from hal9.workbench.travelling import digest_of_file, identity_of, pack_changes, unpack

__all__ = ["WorkspaceBorrowing"]

_PIECES_AT_ONCE = 4


class WorkspaceBorrowing:
    """Asks the node that has a task's workspace.

    Args:
        exchange: to ask through.
        node: this node's name.
        settings: in force now.
    """

    def __init__(self, exchange: Exchange, *, node: str, settings: Callable[[], Settings]) -> None:
        self._exchange = exchange
        self._node = node
        self._settings = settings

    async def is_away(self, task: TaskPayload) -> bool:
        """Whether the task's workspace is on another machine; a folder of its name here says nothing."""
        node = task.labels.get(WORKSPACE_AT, self._node)
        if task.workspace is None or node == self._node:
            return False
        here = await asyncio.to_thread(identity_of, Path(task.workspace))
        return not here or here != task.labels.get(WORKSPACE_IS)

    async def fetch(self, task: TaskPayload, task_id: str, into: Path) -> None:
        """Have a copy of the workspace in the new folder `into`, whole or not at all.

        What a fetch that was cut off had got lies beside it, and is not fetched again.

        Raises:
            WorkspaceAway: it cannot be had.
        """
        await self._fetch(task, task_id, {}, into)

    async def fetch_changes(self, task: TaskPayload, task_id: str, name: str, into: Path) -> None:
        """Have a change set of the task, as it is kept where the workspace is, in the new folder `into`.

        Raises:
            WorkspaceAway: it cannot be had.
        """
        await self._fetch(task, task_id, {"changes": name}, into)

    async def give_back(
        self, task: TaskPayload, task_id: str, kept: ChangeSet, name: str, *, carry: bool
    ) -> None:
        """Have a change set kept where the workspace is, under a name; with `carry` also carried over.

        Raises:
            WorkspaceConflict: the workspace was changed meanwhile; nothing was changed.
            WorkspaceAway: it could not be done there.
        """
        with tempfile.TemporaryDirectory(prefix="giving-", dir=kept.folder.parent) as scratch:
            packed = await asyncio.to_thread(
                pack_changes, kept.folder, self._settings().workbench, Path(scratch)
            )
            at = 0
            while True:
                body = await asyncio.to_thread(_read_at, packed.path, at)
                question = {"do": "put", "digest": packed.digest, "size": packed.size, "at": at}
                said, _ = await self._ask(task, task_id, question, body)
                at = int(said["have"])
                if at >= packed.size:
                    break
        await self._ask(task, task_id, {"do": "take", "digest": packed.digest, "name": name, "carry": carry})

    async def was_carried(self, task: TaskPayload, task_id: str, name: str) -> bool:
        """Whether the change set of this name was carried over.

        Raises:
            WorkspaceAway: nobody answers.
        """
        said, _ = await self._ask(task, task_id, {"do": "carried", "name": name})
        return bool(said["carried"])

    async def _fetch(self, task: TaskPayload, task_id: str, what: Mapping[str, str], into: Path) -> None:
        into.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for last in (False, True):
            try:
                opened, _ = await self._ask(task, task_id, {"do": "open", **what})
                digest, size = str(opened["digest"]), int(opened["size"])
                part = into.with_name(f"{into.name}-{digest}.part")
                await self._pieces(task, task_id, digest, size, part)
                await asyncio.to_thread(_must_be, part, digest)
                await asyncio.to_thread(unpack, part, into, self._settings().workbench)
            except SnapshotDamaged as error:
                if last:
                    raise self._problem(task, str(error)) from error
                continue
            part.unlink()
            await self._ask(task, task_id, {"do": "close", "digest": digest})
            return

    async def _pieces(self, task: TaskPayload, task_id: str, digest: str, size: int, part: Path) -> None:
        """Get what is missing of an archive, some pieces at once, in order into `part`."""
        at = await asyncio.to_thread(lambda: part.stat().st_size if part.exists() else 0)
        with part.open("ab") as stream:
            while at < size:
                places = [at + number * LARGEST_BODY for number in range(_PIECES_AT_ONCE)]
                places = [place for place in places if place < size]
                questions = [{"do": "piece", "digest": digest, "at": place} for place in places]
                asked = (self._ask(task, task_id, one) for one in questions)
                for got in await asyncio.gather(*asked, return_exceptions=True):
                    if isinstance(got, BaseException):
                        raise got  # what came before it stays
                    if not got[1]:
                        raise SnapshotDamaged(path=str(part), detail="the archive ended early")
                    await asyncio.to_thread(stream.write, got[1])
                    at += len(got[1])

    async def _ask(
        self, task: TaskPayload, task_id: str, question: Mapping[str, Any], body: bytes = b""
    ) -> tuple[Mapping[str, Any], bytes]:
        seconds = self._settings().workbench.travel_seconds
        try:
            said, data = await self._exchange.ask(
                task.labels[WORKSPACE_AT], {"task": task_id, **question}, body, seconds=seconds
            )
        except ExchangeUnanswered as error:
            raise self._problem(task, str(error)) from error
        problem = said.get("problem")
        if problem is None:
            return said, data
        if "conflicts" in problem:
            conflicts = tuple((str(path), str(why)) for path, why in problem["conflicts"])
            raise WorkspaceConflict(root=task.workspace or "", conflicts=conflicts)
        if problem.get("missing"):
            raise SnapshotDamaged(path=task.workspace or "", detail=str(problem.get("text", "")))
        raise self._problem(task, str(problem.get("text", "")))

    def _problem(self, task: TaskPayload, detail: str) -> WorkspaceAway:
        return WorkspaceAway(path=task.workspace or "", node=task.labels[WORKSPACE_AT], detail=detail)


def _must_be(path: Path, digest: str) -> None:
    if digest_of_file(path) != digest:
        path.unlink()
        raise SnapshotDamaged(path=str(path), detail="it arrived damaged")


def _read_at(path: Path, at: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(at)
        return stream.read(LARGEST_BODY)
