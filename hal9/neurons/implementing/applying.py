"""A reply's files, replacements and diffs carried out in the copy; nothing unseen is overwritten."""

from collections.abc import Collection
from dataclasses import dataclass

from hal9.errors.neurons import ReplyUnusable
from hal9.errors.tools import EditMissed, FileUnseen
from hal9.neurons.messages.replies import Implementation
from hal9.text import TextStyle
from hal9.tools.edits import apply_diff, replace_text, split_diff
from hal9.workbench import Workbench

__all__ = ["Applier"]

_LONG_FILE = 20  # lines; below it nothing counts as dropping most of a file
_KEPT_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies one reply.

    Attributes:
        bench: where.
        seen_whole: files whose whole content the mind was shown.
        meant: files that the task itself names; these may shrink.
    """

    bench: Workbench
    seen_whole: Collection[str]
    meant: Collection[str]

    async def apply(self, implementation: Implementation) -> None:
        """Carry out all of it; what cannot be done ends it with an error that says what to do.

        Raises:
            FileUnseen: a file would be overwritten unseen.
            EditMissed: a file would lose most of its lines, or a part is not there.
            ReplyUnusable: a diff names no file.
            ActionNotPermitted, PathOutsideWorkspace, NotRegularFile, FileTooLarge, WorkspaceUnwritable.
        """
        for file in implementation.files:
            path = self._plain(file.path)
            before = await self._text(path)
            if before is None:
                await self._write(path, file.content)
                continue
            self._must_be_seen(path, before, file.content)
            style = TextStyle.of(before.encode("utf-8", "surrogateescape"))
            await self.bench.write(path, style.rewrite(file.content, before))
        for part in implementation.replacements:
            path = self._plain(part.path)
            before = await self._text(path)
            if before is None and not part.old.strip():
                await self._write(path, part.new)
            else:
                edit = replace_text(self._there(path, before), part.old, part.new, path=path)
                await self._write(path, edit.text)
        for diff in implementation.diffs:
            await self._apply_diff(diff.path, diff.diff)

    async def _apply_diff(self, path: str, diff: str) -> None:
        parts = split_diff(diff)
        if path and len(parts) <= 1:
            parts = [(path, parts[0][1] if parts else diff)]
        if not parts:
            raise ReplyUnusable(detail="a diff names no file; begin it with --- and +++ lines", text=diff)
        for named, hunks in parts:
            if not named:
                raise ReplyUnusable(detail="a diff deletes a file; use a `run` block with rm", text=diff)
            target = self._plain(named)
            before = await self._text(target)
            edit = apply_diff(before or "", hunks, path=target)
            await self._write(target, edit.text if before is not None else edit.text.rstrip("\n") + "\n")

    def _must_be_seen(self, path: str, before: str, after: str) -> None:
        old, new = before.count("\n") + 1, after.count("\n") + 1
        if path not in self.seen_whole:
            raise FileUnseen(path=path, lines=old)
        if path not in self.meant and old >= _LONG_FILE and new < old * _KEPT_SHARE:
            raise EditMissed(
                path=path,
                problem=f"{old} lines would become {new}, and the task does not name this file; give only "
                "the part that changes, as a SEARCH/REPLACE block or a diff",
            )

    def _plain(self, path: str) -> str:
        root = f"{self.bench.snapshot.workspace}/"
        return path.removeprefix(root).removeprefix("./")

    def _there(self, path: str, text: str | None) -> str:
        if text is None:
            raise EditMissed(path=path, problem="there is no such file")
        return text

    async def _text(self, path: str) -> str | None:
        try:
            data = await self.bench.read_bytes(path)
        except FileNotFoundError:
            return None
        return data.decode("utf-8", "surrogateescape")

    async def _write(self, path: str, text: str) -> None:
        await self.bench.write(path, text.encode("utf-8", "surrogateescape"))
