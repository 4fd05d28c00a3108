"""The loop of a turn with tools: think, act, observe, until it finishes or a limit says stop.

The loop's state is the turn's log and nothing else: what to do next follows from the last entries, so that a
turn taken up after a crash goes on at the step it had reached. Order of writes for a call that may change
the workspace: reply, and with it that its first call begins → (it runs) → mark in the copy, with the result
→ result in the log. A crash before the mark leaves the copy as it was before the call, and the call is
reported as interrupted; after it, its result is taken over. A call that changed nothing leaves no mark: until
its result is in the log it counts as interrupted. Only a call of a tool that keeps to the copy's files
(`Tool.repeatable`) runs again by itself; any other one only when the model says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from hal9.clock import Clock
from hal9.errors.base import RipmapError, WorkbenchError
from hal9.journal.failpoints import failpoint
from hal9.minds.protocol import Usage
from hal9.signals import Tally
from hal9.text import clean_text
from hal9.tools.action import Action, ActionContext, ActionGate, ActionOutcome, Decision, answer_action
from hal9.tools.conversation import Conversation
from hal9.tools.interfaces import FinishCall, Person, StepMaker, ThinkCall
from hal9.tools.observation import INTERRUPTED, Observation, OutputStore, bounded
from hal9.tools.planned_call import ASK, FINISH, PlannedCall, plan_call
from hal9.tools.schema import Tool
from hal9.tools.spending import tally_of
from hal9.tools.stuck import find_circle
from hal9.tools.turn_log import PendingCall, TurnLog, body_of, observation_from
from hal9.workbench import Snapshot

__all__ = ["LoopEnd", "LoopLimits", "ToolLoop"]

EndReason = Literal["finished", "steps", "tokens", "usd", "seconds", "stuck", "silent", "unanswered"]
_MOST_NUDGES = 3
_MOST_CUTS = 6
_RECORDED = 4000  # characters of an argument or observation in a step record; the log has them whole
_INTERRUPTED = (
    "Interrupted: HAL9 was stopped before this had ended, and it was not run again. The workspace is as it "
    "was before this call; what it may have done elsewhere stays. Call it again if you want it done."
)
_NUDGE = "Call a tool. When you are done, call finish with your answer."
_CUT = "Your reply was cut off at the length limit. Go on: call a tool, with shorter arguments if need be."


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """When a turn ends whether it is done or not. None means no limit of this kind.

    Attributes:
        steps: model replies.
        tokens: prompt and completion tokens of all replies together.
        usd: their price.
        observation_chars: most characters shown of one observation.
    """

    steps: int = 60
    tokens: int | None = None
    usd: float | None = None
    observation_chars: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEnd:
    """How a turn ended."""

    reason: EndReason
    answer: str = ""
    detail: str = ""
    steps: int = 0


@dataclass(slots=True, kw_only=True)
class ToolLoop:
    """One turn. All parts are given; `run` goes on until the end."""

    log: TurnLog
    think: ThinkCall
    conversation: Conversation
    tools: Mapping[str, Tool]
    gate: ActionGate
    person: Person
    finish: FinishCall
    step: StepMaker
    context: ActionContext
    limits: LoopLimits
    outputs: OutputStore
    clock: Clock
    snapshot: Snapshot | None = None
    seconds_left: Callable[[], float | None] = lambda: None
    tally: Tally = field(default_factory=Tally)
    _begun: PlannedCall | None = field(default=None, init=False)

    async def run(self) -> LoopEnd:
        """Work until the turn finishes or a limit says stop.

        Raises:
            Whatever `think` raises; the log stays.
        """
        self._take_up()
        await self._settle_interrupted()
        while True:
            end = self._finished()
            if end is not None:
                return end
            pending = self.log.pending()
            if pending:
                await self._carry_out(pending[0])
                continue
            end = self._limit() or await self._circle()
            if end is not None:
                return end
            await self._think()
            await self._answer_silence()

    # --- taking up ------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """What an earlier process spent and saw."""
        for entry in self.log.entries:
            if entry.kind == "reply":
                self.tally = self.tally.plus(tally_of(Usage(**entry.body["usage"])))
            elif entry.kind == "result":
                seen = entry.body["observation"]
                self.outputs.keep(entry.position, seen["full"] or seen["text"])

    async def _settle_interrupted(self) -> None:
        """Give the call that was under way its result: what it gave, or that it was interrupted."""
        under_way = self.log.under_way
        if under_way is None:
            return
        self.log.under_way = None
        pending = next((one for one in self.log.pending() if one.label == under_way.label), None)
        if pending is None:
            return
        started = under_way.started_at
        kept = self.snapshot.note_of(under_way.label) if self.snapshot is not None else None
        if kept is not None:
            observation = observation_from(kept)
        elif pending.call.name in self.tools and self.tools[pending.call.name].repeatable:
            return  # The copy is as it was before the call, so it is still to be done.
        else:
            observation = Observation(text=_INTERRUPTED, ok=False, summary=INTERRUPTED)
            if self.snapshot is not None:
                # A git that was killed leaves its locks, and nothing else runs in the copy.
                await self.snapshot.run("[ ! -d .git ] || find .git -name '*.lock' -delete")
        await self._record(pending, observation, started, Decision(), None)

    # --- one step -------------------------------------------------------------------------------

    async def _think(self) -> None:
        fold = self.conversation.next_fold(self.log.entries)
        while fold is not None:
            await self.log.add_note(fold[0], upto=fold[1])
            fold = self.conversation.next_fold(self.log.entries)
        started = self.clock.now()
        position = len(self.log.entries)
        reply = await self.think(
            self.conversation.messages(self.log.entries),
            tuple(tool.spec for tool in self.tools.values()),
            position=position,
            must_call=self._nudged(),
        )
        failpoint("turn-thought")
        spent = tally_of(reply.usage)
        self.tally = self.tally.plus(spent)
        asked = ", ".join(call.name for call in reply.tool_calls)
        shown = reply.text + (f"\n[calls {asked}]" if asked else "")
        step = self.step(
            "think",
            started,
            tally=spent,
            reply=shown.strip(),
            mind=reply.mind,
            position=position,
        )
        first = None
        if reply.tool_calls:
            call = PendingCall(reply.tool_calls[0], f"{position}.0")
            first = await self._plan(call, position + 1)
        begins = first if first is not None and first.runs else None
        await self.log.add_reply(reply, step, begins=begins.label if begins else "")
        self._begun = begins
        failpoint("turn-reply-recorded")

    async def _answer_silence(self) -> None:
        """A reply without a call: words at the end of the work count as the answer, others are answered."""
        if self.log.pending():
            return
        reply = self.log.entries[-1].body
        if reply["stop_reason"] == "length":
            await self.log.add_note("words", text=_CUT, cut=True)
        elif reply["text"].strip() and self._worked():
            observation = await self._try_to_finish(reply["text"].strip(), "")
            await self.log.add_note(
                "words", text=observation.text, ends=observation.ends, answer=reply["text"]
            )
        else:
            await self.log.add_note("words", text=_NUDGE, nudge=True)

    def _nudged(self) -> bool:
        """Whether the last reply called no tool and was told to."""
        last = self.log.entries[-1] if self.log.entries else None
        return last is not None and last.kind == "note" and bool(last.body.get("nudge"))

    def _worked(self) -> bool:
        """Whether anything was done since the words before: else words alone would end a turn unlooked."""
        return self.log.has_results

    async def _plan(self, pending: PendingCall, number: int) -> PlannedCall:
        return await plan_call(pending, self.tools, self.gate, replace(self.context, step=number))

    async def _carry_out(self, pending: PendingCall) -> None:
        started = self.clock.now()
        begun, self._begun = self._begun, None
        if begun is not None and begun.label != pending.label:
            begun = None
        planned = begun or await self._plan(pending, len(self.log.entries))
        tool, action, decision, context = planned.tool, planned.action, planned.decision, planned.context
        if tool is None or action is None:
            text = f"Not done: {planned.problem}"
            observation = Observation(text=text, ok=False, summary="not a valid call")
            await self._record(pending, observation, started, Decision(), None)
            return
        if decision.verdict == "ask":
            decision = await self._approval(decision, action, context, pending.label)
        if decision.verdict == "refuse":
            text = f"Not done, it is not allowed: {decision.reason}"
            observation = Observation(text=text, ok=False, summary="refused")
            await self._record(pending, observation, started, decision, action)
            return
        arguments = planned.arguments
        if decision.verdict == "rewrite" and decision.action is not None:
            action = decision.action
            arguments = tool.accept(action.arguments)
        if begun is None and tool.name != ASK:
            await self.log.begin(pending.label)
        failpoint("turn-call-begun")
        observation = await self._run(tool, arguments, pending, context)
        failpoint("turn-call-ran")
        if decision.verdict in ("remind", "rewrite") and decision.reason:
            observation = observation.with_reminder(decision.reason)
        if tool.changes and self.snapshot is not None:
            await self.snapshot.checkpoint(pending.label, note=body_of(observation))
            failpoint("turn-call-marked")
        await self._record(pending, observation, started, decision, action)
        outcome = ActionOutcome(
            ok=observation.ok,
            exit_code=observation.exit_code,
            observation=observation.text,
            seconds=observation.seconds,
        )
        await self.gate.after(action, context, decision, outcome)

    async def _run(
        self, tool: Tool, arguments: dict[str, Any], pending: PendingCall, context: ActionContext
    ) -> Observation:
        """Carry it out; what goes wrong is an observation, never the turn's end."""
        started = self.clock.now()
        try:
            if tool.name == FINISH:
                observation = await self._try_to_finish(arguments["answer"], arguments["verified"])
            elif tool.name == ASK:
                observation = await self._ask(arguments["question"], context, pending)
            else:
                observation = await tool.run(**arguments)
        except FileNotFoundError:
            path = arguments.get("path", "")
            observation = Observation(text=f"there is no file {path}", ok=False, summary="no such file")
        except (WorkbenchError, RipmapError, OSError) as error:
            observation = Observation(text=str(error), ok=False, summary="failed")
        number = len(self.log.entries)
        text, full = bounded(clean_text(observation.text), limit=self.limits.observation_chars, number=number)
        seconds = observation.seconds or self.clock.now() - started
        return replace(observation, text=text, full=full or clean_text(observation.full), seconds=seconds)

    async def _record(
        self,
        pending: PendingCall,
        observation: Observation,
        started: float,
        decision: Decision,
        action: Action | None,
    ) -> None:
        position = len(self.log.entries)
        self.outputs.keep(position, observation.full or observation.text)
        step = self.step(
            "tool",
            started,
            outcome="ok" if observation.ok else "failed",
            mode="tools",
            position=position,
            tool=pending.call.name,
            arguments=_recorded(pending.call.arguments),
            programs=list(action.programs) if action else [],
            paths=list(action.paths) if action else [],
            exit_code=observation.exit_code,
            observation=observation.text[:_RECORDED],
            evidence="" if observation.ok else observation.text[-2000:],
            decision={}
            if decision.verdict == "allow"
            else {"verdict": decision.verdict, "reason": decision.reason, "source": decision.source},
        )
        state = await self._state(action) if observation.ok else {}
        await self.log.add_result(pending, observation, step, state=state, decision=_decided(decision))
        failpoint("turn-result-recorded")

    async def _state(self, action: Action | None) -> dict[str, str]:
        """A digest of the file an edit left: what circles are seen by."""
        if action is None or self.snapshot is None or action.kind not in ("write", "edit"):
            return {}
        try:
            data = await self.snapshot.read_bytes(action.paths[0])
        except (OSError, WorkbenchError):
            return {}
        return {action.paths[0]: sha256(data).hexdigest()[:16]}

    # --- persons, the end -----------------------------------------------------------------------

    async def _approval(
        self, decision: Decision, action: Action, context: ActionContext, label: str
    ) -> Decision:
        said = await self.person.approve(action, context, label=label, reason=decision.reason)
        if said.approves:
            return Decision(verdict="allow", source=decision.source)
        if said.text is None:
            return replace(
                decision, verdict="refuse", reason=f"nobody approved it in time: {decision.reason}"
            )
        words = said.text.strip().removeprefix("no").lstrip(" :,.-")
        return replace(decision, verdict="refuse", reason=f"a person said no{': ' + words if words else ''}")

    async def _ask(self, question: str, context: ActionContext, pending: PendingCall) -> Observation:
        said = await self.person.ask(question, context, label=pending.label)
        if said.text is not None:
            return Observation(text=f"The person's answer: {said.text}", summary="answered")
        if said.stops:
            return Observation(text="Nobody answered in time.", ok=False, summary="unanswered", ends=True)
        return Observation(
            text="Nobody answered in time. Go on with what seems best, and say so in your answer.",
            ok=False,
            summary="unanswered",
        )

    async def _try_to_finish(self, answer: str, verified: str) -> Observation:
        changed: tuple[str, ...] = ()
        if self.snapshot is not None:
            changed = tuple(change.path for change in await self.snapshot.changes())
        approved = self.log.approved_paths()
        action = answer_action(answer, changed=tuple(path for path in changed if path not in approved))
        context = replace(self.context, step=len(self.log.entries))
        decision = await self.gate.before(action, context)
        if decision.verdict == "ask":
            # The same changes are asked about once, however often the check fails meanwhile.
            label = f"answer {sha256(chr(0).join(action.paths).encode()).hexdigest()[:16]}"
            decision = await self._approval(decision, action, context, label)
        if decision.verdict == "refuse":
            return Observation(text=f"Not finished: {decision.reason}", ok=False, summary="refused")
        observation = await self.finish(answer, verified)
        if decision.verdict == "remind" and not observation.ends:
            observation = observation.with_reminder(decision.reason)
        return observation

    def _finished(self) -> LoopEnd | None:
        steps = self.log.replies
        for entry in reversed(self.log.entries[-2:]):
            if entry.kind == "result" and entry.body["observation"]["ends"]:
                if entry.body["tool"] == ASK:
                    return LoopEnd(reason="unanswered", detail="nobody answered in time", steps=steps)
                answer = str(entry.body["arguments"].get("answer", ""))
                return LoopEnd(reason="finished", answer=answer, steps=steps)
            if entry.kind == "note" and entry.body.get("ends"):
                return LoopEnd(reason="finished", answer=entry.body["answer"].strip(), steps=steps)
        return None

    def _limit(self) -> LoopEnd | None:
        steps, limits = self.log.replies, self.limits
        words = self.log.notes("words")
        silent = sum(1 for note in words if note.body.get("nudge"))
        cut = sum(1 for note in words if note.body.get("cut"))
        left = self.seconds_left()
        spent = self.tally.prompt_tokens + self.tally.completion_tokens
        checks: tuple[tuple[EndReason, bool, str], ...] = (
            ("steps", steps >= limits.steps, f"{steps} steps (neurons.tools.steps)"),
            ("tokens", limits.tokens is not None and spent >= limits.tokens, f"{spent} tokens"),
            ("usd", limits.usd is not None and self.tally.usd >= limits.usd, f"${self.tally.usd:.4f}"),
            ("seconds", left is not None and left <= 0, "no time left for another step"),
            ("silent", silent >= _MOST_NUDGES, f"{silent} replies called no tool"),
            ("silent", cut >= _MOST_CUTS, f"{cut} replies were cut off at the length limit"),
        )
        for reason, reached, detail in checks:
            if reached:
                return LoopEnd(reason=reason, detail=detail, steps=steps, answer=self._last_words())
        return None

    async def _circle(self) -> LoopEnd | None:
        circle = find_circle(self.log.entries)
        if circle is None:
            return None
        if circle.stops:
            return LoopEnd(
                reason="stuck", detail=circle.text, steps=self.log.replies, answer=self._last_words()
            )
        last = self.log.entries[-1]
        if last.kind == "result":
            await self.log.add_note("words", text=f"You go round in circles: {circle.text}. Try another way.")
        return None

    def _last_words(self) -> str:
        texts = [entry.body["text"].strip() for entry in self.log.entries if entry.kind == "reply"]
        return next((text for text in reversed(texts) if text), "")


def _recorded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[:_RECORDED] if isinstance(value, str) else value for key, value in arguments.items()}


def _decided(decision: Decision) -> dict[str, Any]:
    return body_of(decision) if decision.action is None else asdict(decision)
