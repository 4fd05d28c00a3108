"""L4 and L3 look before they divide: a loop with tools that only read, which ends with a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import PathOutsideWorkspace
from hal9.journal.failpoints import failpoint
from hal9.neurons.gating import context_of, gate_of
from hal9.neurons.looping import TurnLoop, open_turn_log
from hal9.neurons.messages.prompting import compose_plan
from hal9.neurons.messages.replies import PartPlan, Plan, parse_plan
from hal9.neurons.rule_files import with_rule_files
from hal9.neurons.turn import Turn, capabilities_of
from hal9.neurons.workspaces import open_bench
from hal9.tools.action import Action, command_action, tool_action
from hal9.tools.loop import LoopEnd
from hal9.tools.observation import Observation
from hal9.tools.schema import tool_of
from hal9.workbench import Workbench
from hal9.workbench.handles import parts_of

__all__ = ["Planned", "can_look", "look_and_plan"]

PLAN = "plan"
_NO_TIME = {
    "tokens": ("budget_exhausted", "planning reached the limit of tokens (tools.tokens)"),
    "usd": ("budget_exhausted", "planning reached the limit of money (tools.usd)"),
    "seconds": ("timeout", "the task's time was used up while planning"),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """What looking came to; without a plan, `why` says why there is none."""

    plan: Plan | None
    why: str = ""


async def can_look(turn: Turn) -> bool:
    """Whether this neuron can read the workspace by itself: its mind, its file and its layer allow it.

    Raises:
        TurnFailed: the mind cannot be opened.
    """
    allowed = turn.settings.workbench.layers.get(turn.definition.layer_name)
    if turn.task.workspace is None or allowed is None or not allowed.read or "read" not in turn.meta.tools:
        return False
    if turn.meta.mode != "auto":
        return turn.meta.mode == "tools"
    return (await capabilities_of(turn)).tools == "native"


async def look_and_plan(turn: Turn, *, width: int, drawn: str) -> Planned:
    """Look at the workspace until there is a plan of at most `width` parts, or a limit says stop.

    What was seen and said is in the turn's log: after a crash it goes on where it was.

    Args:
        turn: whose.
        width: most parts.
        drawn: the map it begins with.

    Raises:
        TurnFailed: the mind failed, a budget is used up, or the workspace cannot be read.
    """
    log = await open_turn_log(turn)
    turn.mode, turn.why_mode = "tools", "the mind calls tools by itself, and the neuron may read"
    if log.entries:
        turn.why_mode = ""
    async with open_bench(turn, mark=None) as bench:
        if bench is None:
            raise TurnFailed(reason="workspace_unreachable", detail="the task has no workspace to look at")
        planning = _Planning(turn, bench, TurnLoop(turn, bench, log, kind="split"), width)
        end = await planning.run(drawn)
        failpoint("plan-made")
        await bench.snapshot.discard()
    if end.reason in _NO_TIME:
        reason, words = _NO_TIME[end.reason]
        raise TurnFailed(reason=reason, detail=f"{words}: {end.detail}")
    if end.reason == "finished":
        return Planned(planning.plan())
    return Planned(None, f"no plan was made: {end.detail or end.reason}")


class _Planning:
    """One planner's loop."""

    def __init__(self, turn: Turn, bench: Workbench, loop: TurnLoop, width: int) -> None:
        self.turn = turn
        self.bench = bench
        self.loop = loop
        self.width = width

    async def run(self, drawn: str) -> LoopEnd:
        steps = self.turn.settings.neurons.planner.steps
        opening = self.loop.noted_opening()
        if opening is None:
            composed = compose_plan(
                self.turn.promptgram,
                self.turn.task,
                width=self.width,
                steps=steps,
                repository_map=drawn,
                recalled=await self.turn.recall(),
            )
            opening = await self.loop.note_opening(await with_rule_files(self.turn, self.bench, composed))
        # It only reads what the mind gave: one that a crash cut off is taken again by itself.
        tool = tool_of(self.take, describe=_describe, permission="none", repeatable=True, name=PLAN)
        assembled = await self.loop.assemble(opening, control=(tool,), finish=self._words, steps=steps)
        return await assembled.run()

    def plan(self) -> Plan:
        """The plan that was taken, with its files named from the workspace's root."""
        taken = [entry for entry in self.loop.log.entries if entry.kind == "result"][-1]
        found = parse_plan(taken.body["arguments"])
        parts = [
            part.model_copy(update={"files": [self._name(path) for path in part.files]})
            for part in found.parts
        ]
        return found.model_copy(update={"parts": parts})

    async def take(
        self,
        approach: Annotated[str, Field(max_length=4000, description="How you would do it, and why.")],
        parts: Annotated[list[PartPlan], Field(min_length=1, description="What is to be done, in order.")],
    ) -> Observation:
        """End with a plan: what is to be done, in one part or in several that touch different files."""
        problem = self._problem(parts) or await self._forbidden(parts)
        if problem:
            return Observation(text=f"The plan is not taken: {problem}", ok=False, summary="not taken")
        return Observation(text="taken", ends=True, summary=f"{len(parts)} parts")

    def _problem(self, parts: list[PartPlan]) -> str:
        """What does not go together in a plan; empty when it does."""
        if len(parts) > self.width:
            return f"it has {len(parts)} parts; at most {self.width} are possible. Make larger ones."
        owners: dict[str, int] = {}
        before: list[set[int]] = []
        for number, part in enumerate(parts, start=1):
            later = [one for one in part.after if not 0 < one < number]
            if later:
                return f"part {number} comes after part {later[0]}; `after` names earlier parts, from 1"
            above = set(part.after).union(*(before[one - 1] for one in part.after))
            before.append(above)
            for path in part.files:
                try:
                    name = self._name(path)
                except PathOutsideWorkspace as error:
                    return f"part {number}: {error}"
                other = owners.get(name)
                if other is not None and other != number and other not in above:
                    return (
                        f"parts {other} and {number} both write {name}. Make one part of them, "
                        f"or let part {number} come after part {other}."
                    )
                owners[name] = number
        return ""

    def _name(self, path: str) -> str:
        """A file's name from the workspace's root, however it was given."""
        snapshot = self.bench.snapshot
        for root in (snapshot.seen_at, snapshot.workspace):
            if path.startswith(f"{root}/"):
                return "/".join(parts_of(path, root=Path(root)))
        return "/".join(parts_of(path, root=snapshot.workspace))

    async def _forbidden(self, parts: list[PartPlan]) -> str:
        """Why a part's check may not be run: it is a command like any other, whoever thought of it."""
        gate, context = gate_of(self.turn), context_of(self.turn)
        for number, part in enumerate(parts, start=1):
            if part.check:
                decision = await gate.before(command_action(part.check), context)
                if decision.verdict in ("refuse", "ask"):
                    return f"the check of part {number} may not be run: {decision.reason}"
        return ""

    async def _words(self, answer: str, verified: str) -> Observation:
        """Words alone are no plan."""
        del answer, verified
        return Observation(text="Call plan with what is to be done.", ok=False, summary="no plan")


def _describe(arguments: Mapping[str, Any]) -> Action:
    return tool_action(PLAN, {"approach": str(arguments.get("approach", ""))})
