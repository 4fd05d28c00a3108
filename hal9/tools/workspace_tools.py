"""The tools of a turn that has a workspace: bash, read, search, map, edit, write, undo."""

import asyncio
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hal9.errors.tools import EditMissed
from hal9.tools.action import Action, command_action, file_action
from hal9.tools.edits import Edit, apply_diff, replace_text, split_diff
from hal9.tools.interfaces import MapCall
from hal9.tools.observation import Observation, OutputStore
from hal9.tools.schema import Tool, tool_of
from hal9.workbench import CommandResult, Snapshot

__all__ = ["WorkspaceTools"]

_LINE_CHARS = 600
_DEFAULT_LINES = 250
_SEARCH_HITS = 60
_MAP_TOKENS = 1500
_KEPT_OUTPUT = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class WorkspaceTools:
    """Tools on one copy of a workspace.

    Attributes:
        copy: where files are changed and commands run.
        outputs: whole texts of earlier outputs.
        seconds_left: until the task's time is up; None without a limit.
        ripgrep: whether commands in the sandbox find `rg`; else `grep` searches.
        known: files whose whole present content the model has seen or written.
    """

    copy: Snapshot
    mapper: MapCall
    outputs: OutputStore
    ripgrep: bool = False
    seconds_left: Callable[[], float | None] = lambda: None
    known: set[str] = field(default_factory=set)

    def tools(self) -> tuple[Tool, ...]:
        """All of them; who may use which is the toolbox's business."""
        return (
            tool_of(self.bash, describe=_describe_bash, permission="run", changes=True),
            tool_of(self.read, describe=_describe_file("read"), permission="read", repeatable=True),
            tool_of(
                self.search, describe=_describe_file("read", "search"), permission="read", repeatable=True
            ),
            tool_of(self.map, describe=_describe_file("read", "map"), permission="read", repeatable=True),
            tool_of(self.edit, describe=_describe_edit, permission="write", changes=True, repeatable=True),
            tool_of(self.write, describe=_describe_write, permission="write", changes=True, repeatable=True),
            tool_of(
                self.undo,
                describe=_describe_file("edit", "undo"),
                permission="write",
                changes=True,
                repeatable=True,
            ),
        )

    # --- commands ---------------------------------------------------------------------------

    async def bash(
        self,
        command: Annotated[str, Field(min_length=1, description="What to run, as typed into bash.")],
        seconds: Annotated[
            float | None, Field(gt=0, le=3600, description="Most it may take; a limit applies in any case.")
        ] = None,
    ) -> Observation:
        """Run one command in a new shell in the workspace; shows output and exit code.

        Each call starts anew in the workspace's root: `cd` and variables do not last. There is no terminal
        and no input. Long output is cut in the middle.
        """
        done = await self.copy.run(["/bin/bash", "-c", command], timeout_seconds=self._most(seconds))
        self.known.clear()  # a command may have changed anything
        whole = await asyncio.to_thread(_whole_output, done.full_output) if done.full_output else ""
        return replace(command_observation(done), full=whole)

    # --- looking ----------------------------------------------------------------------------

    async def read(
        self,
        path: Annotated[str, Field(min_length=1, description="A file, or a folder to list.")],
        start: Annotated[int, Field(ge=1, description="First line.")] = 1,
        end: Annotated[int | None, Field(ge=1, description="Last line; 250 lines by default.")] = None,
    ) -> Observation:
        """Show lines of a file with their numbers, or list a folder; says how many lines there are."""
        kept = self.outputs.get(path)
        if kept is not None:
            return _lines_of(kept, path, start, end)
        name = self.relative(path)
        if name == "." or await self._is_folder(name):
            return await self._listing(name)
        text = await self.text_of(name)
        shown = _lines_of(text, name, start, end)
        if shown.summary.startswith("whole"):
            self.known.add(name)
        return shown

    async def search(
        self,
        pattern: Annotated[str, Field(min_length=1, description="A regular expression.")],
        path: Annotated[str, Field(description="Folder or file to search in.")] = ".",
        glob: Annotated[str, Field(description="Only files like this, such as *.py.")] = "",
        ignore_case: bool = False,
    ) -> Observation:
        """Find lines in the workspace's files; shows file:line:text."""
        name = self.relative(path)
        done = await self.copy.run(self._search_command(pattern, name, glob, ignore_case=ignore_case))
        lines = [line[: _LINE_CHARS // 2] for line in done.output.split("\n") if line]
        if done.exit_code == 1 and not lines:
            return Observation(text="no match", summary="no match")
        if done.exit_code not in (0, 1):
            return Observation(text=f"the search failed: {done.output.strip()[:500]}", ok=False)
        shown = [line.removeprefix("./") for line in lines[:_SEARCH_HITS]]
        more = f"\n[{len(lines) - len(shown)} more lines]" if len(lines) > len(shown) else ""
        return Observation(text="\n".join(shown) + more, full="\n".join(lines), summary=f"{len(lines)} lines")

    async def map(
        self,
        question: Annotated[str, Field(min_length=1, description="What you look for, in words.")],
    ) -> Observation:
        """Show the files, classes and functions of the repository that matter most for a question."""
        text = await self.mapper(self.copy.root, question, _MAP_TOKENS)
        if not text:
            return Observation(text="the workspace is too small for a map; list it with read", summary="none")
        return Observation(text=text, summary=f"{text.count(chr(10)) + 1} lines")

    # --- changing ---------------------------------------------------------------------------

    async def edit(
        self,
        path: Annotated[str, Field(min_length=1)],
        old: Annotated[str, Field(description="Exact lines that stand once in the file.")] = "",
        new: Annotated[str, Field(description="What stands there instead.")] = "",
        diff: Annotated[str, Field(description="Instead of old and new: a unified diff of this file.")] = "",
        replace_all: Annotated[bool, Field(description="Replace every occurrence of old.")] = False,
    ) -> Observation:
        """Change a part of a file: replace exact text that stands there once, or apply a unified diff."""
        name = self.relative(path)
        text = await self.text_of(name)
        if diff and (old or new):
            raise EditMissed(path=name, problem="give either old and new, or diff")
        if diff:
            parts = split_diff(diff)
            if len(parts) > 1:
                raise EditMissed(path=name, problem="the diff is about several files; one edit per file")
            change = apply_diff(text, parts[0][1] if parts else diff, path=name)
        else:
            change = replace_text(text, old, new, path=name, every=replace_all)
        await self.copy.write(name, change.text.encode("utf-8", "surrogateescape"))
        return _edited(name, change)

    async def write(
        self,
        path: Annotated[str, Field(min_length=1)],
        content: Annotated[str, Field(description="All of its text.")],
    ) -> Observation:
        """Make a new file, or replace one whose whole content you have read."""
        name = self.relative(path)
        before = await self._existing(name)
        if before is not None and name not in self.known:
            lines = before.count("\n") + (0 if before.endswith("\n") else 1)
            raise EditMissed(
                path=name,
                problem=f"it exists, has {lines} lines, and you have not seen all of them; change a part of "
                "it with edit, or read the whole file first",
            )
        await self.copy.write(name, content.encode("utf-8", "surrogateescape"))
        self.known.add(name)
        lines = content.count("\n") + (0 if content.endswith("\n") or not content else 1)
        verb = "made" if before is None else "replaced"
        return Observation(text=f"{verb} {name}, {lines} lines", summary=f"{verb} {name}")

    async def undo(
        self,
        path: Annotated[str, Field(min_length=1)],
    ) -> Observation:
        """Put a file back as it was before this task, whoever changed it."""
        name = self.relative(path)
        kept = await self.copy.keep()
        change = next((one for one in kept.changes if one.path == name), None)
        if change is None:
            text = f"{name} is as it was before the task"
            return Observation(text=text, ok=False, summary="nothing to undo")
        before = await asyncio.to_thread(kept.content, change.before)
        if change.before is None:
            await self.copy.delete(name)
        elif before is None or change.before.kind != "file":
            raise EditMissed(path=name, problem="it is no file whose old content is known")
        else:
            await self.copy.write(name, before)
        self.known.discard(name)
        gone = "; it is gone, as before the task" if change.before is None else ""
        return Observation(text=f"{name} is again as it was before the task{gone}", summary=f"undid {name}")

    def _most(self, seconds: float | None) -> float | None:
        """A command's time: as asked, within the task's."""
        left = self.seconds_left()
        if left is None:
            return seconds
        return max(min(left, seconds) if seconds is not None else left, 0.1)

    # --- small things -------------------------------------------------------------------------

    def relative(self, path: str) -> str:
        """The path as the copy wants it: relative, without ``./``; absolute ones into the workspace too."""
        given = path.strip()
        for root in (str(self.copy.workspace), str(self.copy.root)):
            if given == root or given.startswith(root.rstrip("/") + "/"):
                given = given[len(root) :].lstrip("/") or "."
        return posixpath.normpath(given) if given else "."

    async def text_of(self, name: str) -> str:
        """A file's text; bytes that are no UTF-8 survive an edit.

        Raises:
            EditMissed: it is binary.
            PathOutsideWorkspace, NotRegularFile, FileTooLarge.
            FileNotFoundError: there is none.
        """
        data = await self.copy.read_bytes(name)
        if b"\0" in data[:8192]:
            raise EditMissed(path=name, problem=f"it is a binary file of {len(data)} bytes")
        return data.decode("utf-8", "surrogateescape")

    async def _existing(self, name: str) -> str | None:
        try:
            return await self.text_of(name)
        except FileNotFoundError:
            return None

    async def _is_folder(self, name: str) -> bool:
        found = await self.copy.look(name)
        return found is not None and found.kind == "folder"

    async def _listing(self, name: str) -> Observation:
        done = await self.copy.run(["ls", "-1Ap", "--", name])
        if not done.ok:
            return Observation(text=done.output.strip() or f"{name} cannot be listed", ok=False)
        entries = [line for line in done.output.split("\n") if line]
        more = f"\n[{len(entries) - 200} more]" if len(entries) > 200 else ""
        return Observation(
            text="\n".join(entries[:200]) + more if entries else f"{name} is empty",
            full=done.output,
            summary=f"{len(entries)} entries",
        )

    def _search_command(self, pattern: str, name: str, glob: str, *, ignore_case: bool) -> list[str]:
        if self.ripgrep:
            command = [
                "rg",
                "--no-heading",
                "--line-number",
                "--color=never",
                "--sort=path",
                "--max-count=200",
            ]
            command += ["--ignore-case"] if ignore_case else []
            command += [f"--glob={glob}"] if glob else []
        else:
            command = ["grep", "-rnIE", "--color=never", "-m", "200", "--exclude-dir=.git"]
            command += ["-i"] if ignore_case else []
            command += [f"--include={glob}"] if glob else []
        return [*command, "-e", pattern, "--", name]


def command_observation(done: CommandResult) -> Observation:
    """What is shown of a command."""
    output = done.output.rstrip("\n")
    end = "[no exit code: it was stopped]" if done.exit_code is None else f"[exit code {done.exit_code}]"
    return Observation(
        text=f"{output}\n{end}" if output else end,
        ok=done.ok,
        exit_code=done.exit_code,
        summary=done.stopped or f"exit code {done.exit_code}",
        seconds=done.seconds,
    )


def _whole_output(path: Path) -> str:
    """What was kept of a long output, as much of it as the log takes."""
    with path.open("rb") as stream:
        return stream.read(_KEPT_OUTPUT).decode("utf-8", "replace")


def _lines_of(text: str, name: str, start: int, end: int | None) -> Observation:
    """Numbered lines of a text, as editors count them."""
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    total = len(lines)
    if total == 0:
        return Observation(text=f"{name} is empty", summary="whole, 0 lines")
    if start > total:
        return Observation(text=f"{name} has only {total} lines", ok=False, summary="no such lines")
    last = min(end if end is not None else start + _DEFAULT_LINES - 1, total)
    if last < start:
        return Observation(text=f"end ({last}) is before start ({start})", ok=False, summary="no such lines")
    cut = any(len(line) > _LINE_CHARS for line in lines[start - 1 : last])
    shown = "\n".join(
        f"{number}\t{_shown(line)}" for number, line in enumerate(lines[start - 1 : last], start=start)
    )
    whole = start == 1 and last == total and not cut
    head = f"{name}, lines {start}-{last} of {total}"
    head += " (lines over 600 characters are cut)" if cut else ""
    return Observation(
        text=f"{head}\n{shown}", summary="whole" if whole else f"lines {start}-{last} of {total}"
    )


def _shown(line: str) -> str:
    text = line.rstrip("\r")
    cut = text if len(text) <= _LINE_CHARS else text[:_LINE_CHARS] + f"… ({len(text)} characters)"
    return cut.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _edited(name: str, change: Edit) -> Observation:
    lines = change.text.split("\n")
    start, end = max(change.first_line - 2, 1), min(change.last_line + 2, len(lines))
    end = min(end, start + 30)
    shown = "\n".join(f"{number}\t{_shown(lines[number - 1])}" for number in range(start, end + 1))
    note = f" ({change.note})" if change.note else ""
    return Observation(text=f"changed {name}{note}; it now reads:\n{shown}", summary=f"changed {name}")


# --- what policies see ----------------------------------------------------------------------


def _describe_bash(arguments: Mapping[str, Any]) -> Action:
    return command_action(str(arguments.get("command", "")), arguments=arguments)


def _describe_file(kind: Any, tool: str = "") -> Any:
    def describe(arguments: Mapping[str, Any]) -> Action:
        text = str(arguments.get("pattern") or arguments.get("question") or "")
        return file_action(kind, str(arguments.get("path", "")), text=text, tool=tool, arguments=arguments)

    return describe


def _describe_edit(arguments: Mapping[str, Any]) -> Action:
    text = str(arguments.get("new") or arguments.get("diff") or "")
    return file_action("edit", str(arguments.get("path", "")), text=text, arguments=arguments)


def _describe_write(arguments: Mapping[str, Any]) -> Action:
    text = str(arguments.get("content", ""))
    return file_action("write", str(arguments.get("path", "")), text=text, arguments=arguments)
