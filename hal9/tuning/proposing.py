"""What a reflecting mind is shown, and the edits it answers with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from hal9.errors.minds import MindReplyInvalid
from hal9.errors.promptgram import EditError
from hal9.minds.protocol import Message, Mind, Request, Usage
from hal9.promptgram import MUTABLE_SECTIONS, Edit, Promptgram
from hal9.shipped import shipped_data
from hal9.tuning.attempts import Attempt, RunStore
from hal9.tuning.tasks import TuningTask

__all__ = [
    "EditProposer",
    "Failure",
    "MindProposer",
    "ProposalContext",
    "ProposedEdit",
    "TriedEdit",
    "edit_schema",
    "proposal_prompt",
]

_SHOWN_INPUT = 1200
_SHOWN_ANSWER = 900
_SHOWN_FEEDBACK = 900
_SHOWN_EARLIER = 10
_MOST_EDITS = 6
_CONTRACT = (
    "You are shown a prompt's changeable sections, tasks that went wrong under it with the answer given and "
    "what the check said, and what earlier edits were worth. You answer with edits of single items."
)
_ASKED = (
    "One edit for each different cause. A rule must help on tasks that are not shown: name what to do, "
    "never the wording of one task. Say nothing that an item says already."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A task, the answer that was given, and what was wrong with it."""

    task: TuningTask
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ProposedEdit:
    """An edit, and the name of the task whose failure it answers; empty where it answers all shown."""

    edit: Edit
    task: str


@dataclass(frozen=True, slots=True)
class TriedEdit:
    """An edit that was measured: mean gain per task over its parent, and whether it was kept."""

    edit: Edit
    gain: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalContext:
    """All that a proposal is made from.

    Attributes:
        promptgram: what is edited.
        failures: what went wrong under it.
        tried: earlier edits, oldest first.
        refused: why edits of the last answer could not be applied.
    """

    promptgram: Promptgram
    failures: Sequence[Failure]
    tried: Sequence[TriedEdit] = ()
    refused: str = ""


class EditProposer(Protocol):
    """Has ideas for better prompts."""

    async def propose(self, context: ProposalContext, *, number: int) -> Sequence[ProposedEdit]:
        """Edits that apply to `context.promptgram` one after the other; none when there is no idea."""
        ...


@cache
def evolver() -> Promptgram:
    """The shipped prompt of the reflecting mind."""
    return Promptgram.load(shipped_data() / "neurons" / "tuning" / "l2-prompt-tuner.md")


def edit_schema() -> dict[str, Any]:
    """The answer's shape: the diagnosis comes first, so that it is thought before the edits are."""
    edit = {
        "type": "object",
        "properties": {
            "failure": {"type": "integer", "minimum": 1, "description": "number of the failure it answers"},
            "rationale": {"type": "string"},
            "section": {"type": "string", "enum": list(MUTABLE_SECTIONS)},
            "edit_type": {"type": "string", "enum": ["append", "replace", "delete"]},
            "target": {"type": "string", "description": "the item to replace or delete, quoted; else empty"},
            "content": {"type": "string", "description": "the new item, one sentence in the imperative"},
        },
        "required": ["failure", "rationale", "section", "edit_type", "target", "content"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "diagnosis": {"type": "string", "description": "what the failures have in common"},
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": _MOST_EDITS},
        },
        "required": ["diagnosis", "edits"],
        "additionalProperties": False,
    }


def proposal_prompt(context: ProposalContext) -> str:
    """The user's turn of one proposal."""
    lines = ["# The prompt"]
    for name in MUTABLE_SECTIONS:
        lines += ["", f"## {name}", context.promptgram.section(name) or "(empty)"]
    lines += ["", "# What went wrong under it"]
    for number, failure in enumerate(context.failures, start=1):
        lines += [
            "",
            f"## Failure {number} (score {failure.attempt.score:g})",
            f"Task:\n{_cut(failure.task.input, _SHOWN_INPUT)}",
            f"Answer:\n{_cut(failure.attempt.answer, _SHOWN_ANSWER)}",
            f"What the check said:\n{_cut(failure.attempt.feedback, _SHOWN_FEEDBACK)}",
        ]
    if context.tried:
        lines += ["", "# Earlier edits and what each was worth per task"]
        lines += [_told(one) for one in context.tried[-_SHOWN_EARLIER:]]
    if context.refused:
        lines += ["", "# Your last answer could not be used", _cut(context.refused, 400)]
    lines += [
        "",
        _ASKED,
    ]
    return "\n".join(lines)


def _cut(text: str, limit: int) -> str:
    text = text.strip()
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}\n[… {len(text) - limit} characters left out …]\n{text[-limit // 2 :]}"


def _told(one: TriedEdit) -> str:
    what = one.edit.content or one.edit.target
    became = "kept" if one.kept else "dropped"
    return f"- {one.edit.edit_type} {one.edit.section}: {what[:160]} -> {one.gain:+.3f} ({became})"


@dataclass(slots=True)
class MindProposer:
    """Asks a mind, keeps its answers, and asks once more where edits do not apply.

    Attributes:
        mind: who reflects.
        store: where answers are kept, so that a resumed run asks nothing twice.
        temperature: of reflection.
        timeout_seconds: of one proposal; a model on a busy processor may write its tokens for minutes.
    """

    mind: Mind
    store: RunStore
    task_id: str = "tune"
    seed: int = 0
    temperature: float = 0.7
    max_tokens: int = 1500
    timeout_seconds: float = 900.0
    usage: Usage = field(default_factory=lambda: Usage(calls=0))
    calls: int = 0

    async def propose(self, context: ProposalContext, *, number: int) -> Sequence[ProposedEdit]:
        """Ask; edits that cannot be applied are told to the mind once and then left out.

        Raises:
            MindError, LimitError: the mind cannot be asked.
        """
        edits, refused = await self._ask(context, f"proposal/{number}/0", number * 2)
        if refused and not edits:
            again = ProposalContext(
                promptgram=context.promptgram, failures=context.failures, tried=context.tried, refused=refused
            )
            edits, _ = await self._ask(again, f"proposal/{number}/1", number * 2 + 1)
        return edits

    async def _ask(self, context: ProposalContext, key: str, seed: int) -> tuple[list[ProposedEdit], str]:
        self.calls += 1
        kept = self.store.get(key)
        if kept is None:
            try:
                reply = await self.mind.think(
                    Request(
                        (
                            Message("system", evolver().render(protocol={"API_contract": _CONTRACT})),
                            Message("user", proposal_prompt(context)),
                        ),
                        schema=edit_schema(),
                        temperature=self.temperature,
                        max_tokens=self.max_tokens,
                        timeout_seconds=self.timeout_seconds,
                        seed=self.seed * 7919 + seed,
                        metadata={"task_id": self.task_id},
                    )
                )
            except MindReplyInvalid as error:
                kept = {
                    "answer": {"diagnosis": "", "edits": []},
                    "problem": str(error),
                    "usage": {"calls": 1},
                }
            else:
                usage = {
                    "prompt_tokens": reply.usage.prompt_tokens,
                    "completion_tokens": reply.usage.completion_tokens,
                    "usd": reply.usage.usd,
                    "seconds": reply.usage.seconds,
                    "calls": reply.usage.calls,
                }
                kept = {"answer": json.loads(json.dumps(reply.parsed)), "problem": "", "usage": usage}
            self.store.put(key, "proposal", kept)
        self.usage += Usage(**kept["usage"])
        if kept["problem"]:
            return [], str(kept["problem"])
        return applicable(context, kept["answer"]["edits"])


def applicable(
    context: ProposalContext, answered: Sequence[Mapping[str, Any]]
) -> tuple[list[ProposedEdit], str]:
    """The edits that apply one after the other, and why the first of the others does not."""
    promptgram = context.promptgram
    good: list[ProposedEdit] = []
    refused = ""
    for one in answered:
        try:
            edit = Edit.from_dict({key: value for key, value in one.items() if key != "failure"})
            promptgram = promptgram.apply(edit)
        except EditError as error:
            refused = refused or str(error)
        else:
            number = min(max(1, int(one["failure"])), len(context.failures))
            good.append(ProposedEdit(edit, context.failures[number - 1].task.name))
    return good, refused
