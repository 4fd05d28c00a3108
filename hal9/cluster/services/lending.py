"""The half of travelling workspaces that stands where the workspace is: packs it, takes changes back.

Everything is asked for by `bus.exchange`, in steps that may be asked again: `open` packs and names an
archive, `piece` reads it, `put` receives one, `take` keeps its change set and carries it over, `carried`
tells whether that was done, `close` forgets. Archives lie in the home's state until their task has ended.
"""

import asyncio
import logging
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from hal9.bus.exchange import LARGEST_BODY
from hal9.clock import Clock, SystemClock
from hal9.errors.base import Hal9Error
from hal9.errors.workbench import ChangesMissing, SnapshotDamaged, WorkspaceConflict
from hal9.journal import Journal, tasks
from hal9.settings import Settings
from hal9.workbench.applying import apply_changes, recover
from hal9.workbench.changes import load_changes, read_json
from hal9.workbench.travelling import digest_of_file, pack_changes, pack_workspace, receive_change_set

__all__ = ["WorkspaceLending", "problem_of"]

_log = logging.getLogger("hal9.cluster.services.lending")
_TIDY_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}){0,2}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_Step = Callable[[str, Path, Mapping[str, Any], bytes], Awaitable[tuple[dict[str, Any], bytes]]]


class WorkspaceLending:
    """Answers the questions of nodes that work on tasks whose workspace is here.

    Args:
        folder: where archives lie while they travel; emptied by `clear`.
        changes: where change sets are kept.
        journal: where the tasks are: only a running task's workspace is given away.
        settings: in force now.
        known: whether a node belongs to the cluster, by its name.
        clock: time.
    """

    def __init__(
        self,
        folder: Path,
        changes: Path,
        journal: Journal,
        *,
        settings: Callable[[], Settings],
        known: Callable[[str], bool],
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._folder = folder
        self._changes = changes
        self._journal = journal
        self._settings = settings
        self._known = known
        self._locks: dict[str, asyncio.Lock] = {}
        self._steps: dict[str, _Step] = {
            "open": self._open,
            "piece": self._piece,
            "put": self._put,
            "take": self._take,
            "carried": self._was_carried,
            "close": self._close,
        }

    def clear(self) -> None:
        """Forget what a process before this one left under way."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget(self, task_id: str) -> None:
        """Forget what travelled for a task that has ended."""
        self._locks.pop(task_id, None)
        shutil.rmtree(self._folder / task_id, ignore_errors=True)

    async def answer(
        self, source: str, question: Mapping[str, Any], body: bytes
    ) -> tuple[Mapping[str, Any], bytes]:
        """Answer one question; what cannot be done is said in the answer, under `problem`."""
        try:
            step, task_id = self._steps[str(question["do"])], str(question["task"])
            root = await self._workspace_of(task_id) if self._known(source) else None
            if root is None:
                text = f"task {task_id} does not run here with a workspace that {source!r} may see"
                return {"problem": {"text": text}}, b""
            if step == self._piece:
                return await step(task_id, root, question, body)
            async with self._locks.setdefault(task_id, asyncio.Lock()):
                return await step(task_id, root, question, body)
        except (Hal9Error, OSError) as error:
            _log.warning("task %s, %s for %s: %s", question.get("task"), question.get("do"), source, error)
            return {"problem": problem_of(error)}, b""
        except (KeyError, TypeError, ValueError) as error:
            return {"problem": {"text": f"not a question: {error!r}"}}, b""

    async def _workspace_of(self, task_id: str) -> Path | None:
        task = await self._journal.read(lambda connection: tasks.get_task(connection, task_id))
        if task is None or task.state != "running" or task.payload.workspace is None:
            return None
        return Path(task.payload.workspace)

    # --- giving -------------------------------------------------------------------------------------

    async def _open(
        self, task_id: str, root: Path, question: Mapping[str, Any], _body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        settings, into = self._settings().workbench, self._folder / task_id
        await self._forget_ended()
        if "changes" in question:
            kept = self._changes / task_id / _checked(_NAME, question["changes"])
            packed = await asyncio.to_thread(pack_changes, kept, settings, into)
        else:
            packed = await asyncio.to_thread(pack_workspace, root, settings, into)
        return {"digest": packed.digest, "size": packed.size, "skipped": len(packed.skipped)}, b""

    async def keep_tidy(self) -> None:
        """Forget tasks that other hosts have ended, which are not announced here; runs for ever."""
        while True:
            await self._forget_ended()
            await self._clock.sleep(_TIDY_SECONDS)

    async def _forget_ended(self) -> None:
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if await self._workspace_of(folder.name) is None:
                self.forget(folder.name)

    async def _piece(
        self, task_id: str, _root: Path, question: Mapping[str, Any], _body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        path = self._archive(task_id, question)
        return {}, await asyncio.to_thread(_read_at, path, int(question["at"]))

    async def _close(
        self, task_id: str, _root: Path, question: Mapping[str, Any], _body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        await asyncio.to_thread(self._archive(task_id, question).unlink, missing_ok=True)
        return {}, b""

    # --- taking back --------------------------------------------------------------------------------

    async def _put(
        self, task_id: str, _root: Path, question: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        path = self._archive(task_id, question)
        if int(question["size"]) > self._settings().workbench.travel_mb * 1024 * 1024:
            return {"problem": {"text": "its changes are larger than workbench.travel_mb allows here"}}, b""
        return {"have": await asyncio.to_thread(_write_at, path, int(question["at"]), body)}, b""

    async def _take(
        self, task_id: str, root: Path, question: Mapping[str, Any], _body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        name = _checked(_NAME, question["name"])
        archive = self._archive(task_id, question)
        await asyncio.to_thread(
            self._keep, archive, root, self._changes / task_id / name, bool(question["carry"])
        )
        await asyncio.to_thread(archive.unlink, missing_ok=True)
        return {}, b""

    def _keep(self, archive: Path, root: Path, into: Path, carry: bool) -> None:
        if into.exists():
            recover(into)
            if _carried(into):
                return  # asked again after it was done
        if digest_of_file(archive) != archive.name.removesuffix(".tar.gz"):
            archive.unlink()
            raise SnapshotDamaged(path=str(archive), detail="it arrived damaged")
        kept = receive_change_set(archive, into, root=root, settings=self._settings().workbench)
        if carry:
            apply_changes(kept, root)

    async def _was_carried(
        self, task_id: str, _root: Path, question: Mapping[str, Any], _body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        folder = self._changes / task_id / _checked(_NAME, question["name"])

        def look() -> bool:
            if not folder.exists():
                return False
            recover(folder)
            return _carried(folder) and bool(load_changes(folder))

        return {"carried": await asyncio.to_thread(look)}, b""

    def _archive(self, task_id: str, question: Mapping[str, Any]) -> Path:
        folder = self._folder / task_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{_checked(_DIGEST, question['digest'])}.tar.gz"


def problem_of(error: Hal9Error | OSError) -> dict[str, Any]:
    """An error as an answer carries it."""
    found: dict[str, Any] = {"text": str(error)}
    if isinstance(error, WorkspaceConflict):
        found["conflicts"] = [list(one) for one in error.conflicts[:100]]
    if isinstance(error, ChangesMissing | FileNotFoundError):
        found["missing"] = True
    return found


def _checked(pattern: re.Pattern[str], text: object) -> str:
    if not isinstance(text, str) or pattern.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no name")
    return text


def _read_at(path: Path, at: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(at)
        return stream.read(LARGEST_BODY)


def _write_at(path: Path, at: int, data: bytes) -> int:
    """Write a piece where it belongs, unless one before it is missing; returns how many bytes are there."""
    with path.open("ab") as stream:
        have = stream.tell()
        if at <= have:
            stream.write(data[have - at :])
        return stream.tell()


def _carried(folder: Path) -> bool:
    try:
        plan = read_json(folder / "carry.json")
    except FileNotFoundError:
        return False
    return bool((plan["state"], plan["direction"]) == ("done", "forward"))
