"""How good an answer is, and what to tell the proposer about it."""

import asyncio
import json
import re
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hal9.minds.protocol import Message, Mind, Request
from hal9.settings import WorkbenchSettings
from hal9.tuning.tasks import TuningTask
from hal9.workbench import Place, Snapshot, Workbench

__all__ = ["AnswerScorer", "Scored", "Scorer", "compare"]

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_PARTIAL = re.compile(r"(?im)^\s*score\s*[:=]\s*(\d+(?:\.\d+)?)\s*(%?)\s*$")
_MOST_FEEDBACK = 1500
_JUDGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {
            "type": "string",
            "description": "what is right and what is wrong, in one or two sentences",
        },
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["reason", "score"],
    "additionalProperties": False,
}
_JUDGE = (
    "You judge an answer by one criterion. Say what is right or wrong first, then give a score from 0 (fails "
    "the criterion) to 1 (meets it fully). Judge nothing but the criterion."
)


@dataclass(frozen=True, slots=True)
class Scored:
    """A score from 0 to 1, and what speaks for or against the answer."""

    score: float
    feedback: str


class Scorer(Protocol):
    """Judges answers."""

    async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
        """Judge one answer; `draw` numbers repeated answers to one task."""
        ...


def compare(task: TuningTask, answer: str) -> Scored:
    """Compare an answer with what the task expects; the best of the alternatives counts."""
    text = answer.strip()
    for wanted in task.answers:
        if _matches(task, text, wanted):
            return Scored(1.0, "right")
    wanted = " or ".join(repr(one) for one in task.answers[:3])
    how = {"contains": "containing ", "regex": "matching "}.get(task.match, "")
    return Scored(0.0, f"wrong: expected {how}{wanted}, got {_short(text)!r}")


def _matches(task: TuningTask, text: str, wanted: str) -> bool:
    if task.match == "exact":
        return text == wanted.strip()
    if task.match == "contains":
        return _plain(wanted) in _plain(text)
    if task.match == "regex":
        return re.search(wanted, text) is not None
    if task.match == "number":
        found, right = _NUMBER.findall(text), _NUMBER.findall(wanted)
        return bool(found and right) and _number(found[-1]) == _number(right[-1])
    if task.match == "json":
        return bool(_last_json(text) == _last_json(wanted))
    lines = [line for line in text.split("\n") if line.strip()]
    return _bare(wanted) in (_bare(text), _bare(lines[-1]) if lines else "")


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _bare(text: str) -> str:
    """Without case, marks at the ends and a leading label ("Answer: ")."""
    plain = re.sub(r"^(?:the )?(?:final )?(?:answer|label|result)(?: is)?\s*[:=]\s*", "", _plain(text))
    return plain.strip(" \t.,;:!?'\"`*_()[]{}")


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _last_json(text: str) -> Any:
    """The last JSON object, list or scalar of a text; the text itself when there is none."""
    decoder = json.JSONDecoder()
    found: Any = text.strip()
    position = 0
    while (match := re.search(r"[\[{]", text[position:])) is not None:
        start = position + match.start()
        try:
            found, end = decoder.raw_decode(text, start)
            position = end
        except ValueError:
            position = start + 1
    if found == text.strip():
        try:
            return json.loads(text)
        except ValueError:
            return found
    return found


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


@dataclass(slots=True)
class AnswerScorer:
    """Compares, runs checks in a sandbox, and asks a judge, whichever a task names; the least counts.

    Attributes:
        workbench: how checks are run and bounded.
        judge: who is asked where a task names a criterion.
        task_id: what the judge's calls are charged to.
    """

    workbench: WorkbenchSettings
    judge: Mind | None = None
    task_id: str = "tune"

    async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
        found: list[Scored] = []
        if task.answers:
            found.append(compare(task, answer))
        if task.check is not None:
            found.append(await self._check(task, task.check, answer))
        if task.judge is not None and self.judge is not None:
            found.append(await self._judge(self.judge, task, task.judge, answer, draw))
        worst = min(found, key=lambda one: one.score)
        told = "\n".join(one.feedback for one in found if one.feedback and one.score < 1) or worst.feedback
        return Scored(worst.score, told[-_MOST_FEEDBACK:])

    async def _check(self, task: TuningTask, command: str, answer: str) -> Scored:
        with tempfile.TemporaryDirectory(prefix="hal9-tune-") as folder:
            root = Path(folder) / "workspace"
            root.mkdir()
            await asyncio.to_thread(_lay_out, root, task, answer)
            async with Snapshot(Place(root, Path(folder) / "copy"), self.workbench) as snapshot:
                report = await Workbench(snapshot, layer="L2", settings=self.workbench).check(command)
        told = report.output.strip() or f"the check ended with exit code {report.exit_code}"
        if report.timed_out:
            told += f"\n(stopped after {report.seconds:.0f} s)"
        partial = _PARTIAL.findall(report.output)
        score = 1.0 if report.passed else 0.0
        if partial:
            score = min(1.0, float(partial[-1][0]) / (100 if partial[-1][1] else 1))
        return Scored(score, told[-_MOST_FEEDBACK:])

    async def _judge(self, judge: Mind, task: TuningTask, criterion: str, answer: str, draw: int) -> Scored:
        asked = f"Criterion:\n{criterion}\n\nThe task was:\n{task.input}\n\nThe answer:\n{answer}"
        reply = await judge.think(
            Request(
                (Message("system", _JUDGE), Message("user", asked)),
                schema=_JUDGE_SCHEMA,
                temperature=0.0,
                max_tokens=300,
                seed=draw,
                metadata={"task_id": self.task_id},
            )
        )
        return Scored(float(reply.parsed["score"]), str(reply.parsed["reason"]))


def _lay_out(root: Path, task: TuningTask, answer: str) -> None:
    """The folder a check runs in: a copy of the workspace, the task's files, the answer and its files."""
    import shutil  # noqa: PLC0415 - only tasks with checks need it

    from hal9.errors.neurons import ReplyUnusable  # noqa: PLC0415
    from hal9.neurons.messages.replies import parse_implementation  # noqa: PLC0415

    if task.workspace is not None:
        shutil.copytree(task.workspace, root, symlinks=True, dirs_exist_ok=True)
        try:
            written = {
                file.path: file.content for file in parse_implementation(answer, targets=task.targets).files
            }
        except ReplyUnusable:
            written = {}
    else:
        written = {}
    for name, content in {**task.files, **written, "answer.txt": answer}.items():
        target = root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            continue  # a path outside the folder; the check then misses the file and says so
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8", newline="")
