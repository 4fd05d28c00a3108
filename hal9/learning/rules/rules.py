"""Rules out of the user's words, of their corrected answers, and of retries that passed.

No model writes a rule: it is the user's own sentence plus what the right answer has and the wrong one lacks.
When one is admitted:

- the user's corrected answer passes the task's check, or the task has none to ask: at once, on probation
  (two failures retire it);
- the user's own words: at once, unless a replay on the real mind shows that they do harm, they read like an
  instruction to do harm, or they only say that something is wrong;
- what a retry or a mind teaches must fix a held-back case on the real mind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from hal9.errors.base import LimitError, MindError
from hal9.errors.memory import MemoryInvalid
from hal9.journal.tasks import TaskRow
from hal9.learning.detection.feedback import Feedback
from hal9.learning.detection.outcomes import scope_after, scope_of_task
from hal9.learning.replay_cases import (
    Rehearse,
    ReplayCase,
    Verify,
    answer_as_turn,
    reply_as_turn,
    wrong_and_right,
)
from hal9.learning.rules.cases import candidate_to_try, case_of, failed_cases
from hal9.learning.rules.outcome import Origin, RuleOutcome
from hal9.learning.rules.scope_proposal import proposed_scope
from hal9.learning.rules.understanding import Understood, understand
from hal9.learning.rules.withdrawing import RuleLife, ended_for_good
from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Ledger
from hal9.memory import (
    HeldBackCase,
    MemoryScope,
    MemoryStore,
    NewRule,
    PatternStore,
    Rule,
    RuleStore,
    SolvedExample,
    scope_for_memory,
    template_rule,
)
from hal9.memory.records import TAUGHT_ON
from hal9.memory.rules.roles import ROLES
from hal9.signals import ErrorGradient, StepRecord

__all__ = ["RuleLearner", "RuleOutcome", "RuleWriter"]


RuleWriter = Callable[[ErrorGradient], Awaitable[tuple[str, str] | None]]
"""A rule for an error, and the trusted mind that wrote it; None when it cannot cite its evidence."""

_MOST_TRIALS = 3
_MOST_TAUGHT = 2_000


class RuleLearner:
    """Makes, tries and admits rules.

    Args:
        store: the memory file.
        rules: its rules, with a policy of their own; None takes the default one.
        writer: writes rules, where the settings trust a mind with it; None leaves that out.
        verify: runs a task's check on an answer.
        rehearse: runs a task on the real mind; None when that is not possible here.
        cases: how many held-back cases one candidate is tried on at most; 0 never replays.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        rules: RuleStore | None = None,
        writer: RuleWriter | None = None,
        verify: Verify | None = None,
        rehearse: Rehearse | None = None,
        cases: Callable[[], int] = lambda: 2,
    ) -> None:
        self.store = store
        self.book = rules or RuleStore(store)
        self.ledger = Ledger(store)
        self.life = RuleLife(store, self.book)
        self._writer = writer
        self._verify = verify
        self._rehearse = rehearse
        self._cases = cases

    async def from_feedback(
        self, feedback: Feedback, task: TaskRow, steps: Sequence[StepRecord], *, cause: str
    ) -> RuleOutcome:
        """Learn from what the user said about a task."""
        # A reason tells of this one answer ("returned 3, expected 4"); a rule of all of its kind.
        words = feedback.note.strip() or feedback.why
        meant = understand(words)
        if meant.kind == "withdrawal":
            return await asyncio.to_thread(self._withdraw, words, task, steps, cause)
        expected = feedback.expected
        if meant.kind == "nothing" and expected is None:
            return RuleOutcome(None, "none", "the words say that it is wrong, not what would be right")
        rejected = next((step.reply for step in reversed(steps) if step.kind == "think" and step.reply), "")
        changed = [change.path for change in task.result.changes] if task.result else []
        example = None
        if expected is not None:
            example = SolvedExample(task.payload.objective, answer_as_turn(task.payload, changed, expected))
        try:
            scope = proposed_scope(
                scope_of_task(task.payload),
                words=words,
                wanted=feedback.holds_for,
                changed=changed,
                workspace=task.payload.scope.workspace or task.payload.workspace or "",
                objective=task.payload.objective,
                divided=any(step.kind == "split" for step in steps),
            )
            rule = template_rule(
                scope=scope,
                note="" if meant.kind == "nothing" else words,
                task=task.payload.objective,
                corrected=expected or "",
                rejected=rejected,
            )
            number = await asyncio.to_thread(
                self.propose,
                rule,
                scope,
                example,
                Origin("user", "user", cause, task.id, task.payload.objective),
            )
        except MemoryInvalid as error:
            return RuleOutcome(None, "none", str(error))
        if meant.kind in ("hostile", "preference"):
            return await asyncio.to_thread(self._held_back, number, meant, cause)
        verified = None
        if expected is not None and self._verify is not None:
            verified = await self._verify(task.payload, expected)
        learned = await self._settle(
            number,
            task,
            corrected=expected is not None,
            verified=verified,
            said=meant.kind == "rule",
            cause=cause,
        )
        if learned.state != "admitted":
            return learned
        replaced = await asyncio.to_thread(self.life.supersede, number, words=words, cause=cause)
        return replace(learned, replaced=tuple(one.id for one in replaced), holds_for=scope.label())

    def _withdraw(self, words: str, task: TaskRow, steps: Sequence[StepRecord], cause: str) -> RuleOutcome:
        recalled = [int(one) for step in steps for one in step.recalled if one.isdecimal()]
        taken = self.life.withdraw(
            replace(scope_after(task), roles=ROLES), words=words, recalled=sorted(set(recalled)), cause=cause
        )
        if not taken:
            return RuleOutcome(None, "none", "no rule in force there speaks of that; `hal9 rules` lists them")
        told = "; ".join(f"{one.id}: {one.rule[:80]}" for one in taken)
        return RuleOutcome(taken[0].id, "retired", f"withdrawn ({told})")

    def _held_back(self, number: int, meant: Understood, cause: str) -> RuleOutcome:
        """What must not come into force on its first word."""
        one = self.book.get(number)
        if meant.kind == "hostile":
            reason = f"kept away from prompts: it reads like an instruction to do harm ({meant.detail!r})"
            if one.state != "quarantined":
                self.life.set_state(one, "quarantined", reason, cause=cause, actor="learning")
            return RuleOutcome(number, "quarantined", reason)
        said_before = one.state == "candidate" and one.provenance.get("cause") != cause
        if said_before:
            self.life.set_state(one, "admitted", "the user said it again", cause=cause, actor="learning")
            return RuleOutcome(number, "admitted", "the user said it again")
        return RuleOutcome(number, one.state, "about this one answer; said again, it becomes a rule")

    async def from_retry(
        self, task: TaskRow, steps: Sequence[StepRecord], *, cause: str
    ) -> RuleOutcome | None:
        """A candidate out of a failed try and a later one that passed; None when there is no such pair."""
        found = wrong_and_right(steps)
        if found is None:
            return None
        scope = scope_for_memory(scope_of_task(task.payload))
        if not scope.module and not scope.task_family:
            return None
        wrong, right = found
        rule = template_rule(scope=scope, task=task.payload.objective, corrected=right, rejected=wrong)
        changed = [change.path for change in task.result.changes] if task.result else []
        example = SolvedExample(task.payload.objective, reply_as_turn(task.payload, changed, right))
        try:
            number = await asyncio.to_thread(
                self.propose,
                rule,
                scope,
                example,
                Origin("retry", "check", cause, task.id, task.payload.objective),
            )
        except MemoryInvalid as error:
            return RuleOutcome(None, "none", str(error))
        one = await asyncio.to_thread(self.book.get, number)
        if one.state != "candidate":
            return RuleOutcome(number, one.state, one.state_reason)
        return await self.replay(
            number, await asyncio.to_thread(failed_cases, self.store, one, ""), cause=cause
        )

    async def from_mind(self, task_id: str, gradient: ErrorGradient, *, cause: str) -> RuleOutcome | None:
        """A rule by a mind that the settings trust by name, for a recurring error nobody has explained."""
        writer = self._writer
        case = await asyncio.to_thread(case_of, self.store, task_id)
        if writer is None or case is None:
            return None
        scope = scope_for_memory(scope_of_task(case.payload))
        known = await asyncio.to_thread(self.book.all, states=("candidate", "admitted"))
        if any(one.scope == scope for one in known):
            return None
        try:
            written = await writer(gradient)
            if written is None:
                return None
            rule, mind = written
            origin = Origin("mind", mind, cause, task_id, case.payload.objective)
            number = await asyncio.to_thread(self.propose, rule, scope, None, origin)
        except (MemoryInvalid, MindError, LimitError) as error:
            return RuleOutcome(None, "none", str(error))
        return await self.replay(number, [HeldBackCase(task_id, case.payload.objective, case)], cause=cause)

    async def try_candidates(self, task: TaskRow, *, cause: str) -> list[RuleOutcome]:
        """A task has failed its check: let the newest candidate of its scope show if it would have passed."""
        one = await asyncio.to_thread(candidate_to_try, self.book, task)
        if one is None:
            return []
        case = HeldBackCase(task.id, task.payload.objective, ReplayCase(task.payload))
        return [await self.replay(one.id, [case], cause=cause)]

    def admit_pattern(self, pattern_id: int, scope: MemoryScope, *, cause: str) -> list[int]:
        """A pattern has formed: the user's own rules of its scope that could not be replayed are admitted."""
        admitted = []
        with self.store.writing():
            for one in self.book.all(states=("candidate",)):
                if one.source != "user" or one.scope != scope or ended_for_good(one):
                    continue
                if not one.provenance.get("contradicted") and self._of_pattern(one, pattern_id):
                    self.book.attach(one.id, pattern_id)
                    self._set_state(one, "admitted", f"the user's words; pattern {pattern_id} formed", cause)
                    admitted.append(one.id)
            for one in self.book.all(states=("admitted",)):
                if one.scope == scope and one.pattern_id is None:
                    self.book.attach(one.id, pattern_id)
        return admitted

    def _of_pattern(self, one: Rule, pattern_id: int) -> bool:
        """Whether a rule was said about one of the errors that form a pattern."""
        with self.store.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM occurrences WHERE pattern_id = ? AND task_id = ?",
                (pattern_id, str(one.provenance.get("task_id", ""))),
            ).fetchone()
        return found is not None

    # --- inner ----------------------------------------------------------------------------------

    def propose(
        self,
        rule: str,
        scope: MemoryScope,
        example: SolvedExample | None,
        origin: Origin,
    ) -> int:
        """Store a candidate and note it in the ledger; an equal one is returned instead.

        Raises:
            MemoryInvalid: it may not be stored.
        """
        provenance = {
            "task_id": origin.task_id,
            "cause": origin.cause,
            TAUGHT_ON: origin.objective[:_MOST_TAUGHT],
        }
        with self.store.writing():
            number = self.book.propose(
                NewRule(
                    rule=rule,
                    scope=scope,
                    source=origin.source,
                    trusted_by=origin.trusted_by,
                    example=example,
                    provenance=provenance,
                )
            )
            if not self.ledger.rows(kinds=("mitigation",), target=str(number)):
                self.ledger.record(
                    "mitigation",
                    str(number),
                    change=("", "candidate"),
                    cause=origin.cause,
                    actor="user" if origin.source == "user" else "learning",
                    details={"evidence": {"rule": rule, "task_id": origin.task_id, "source": origin.source}},
                )
        return number

    async def _settle(
        self, number: int, task: TaskRow, *, corrected: bool, verified: bool | None, said: bool, cause: str
    ) -> RuleOutcome:
        one = await asyncio.to_thread(self.book.get, number)
        if one.state == "retired" and verified is not False:
            reason = "the user taught it again"
            await asyncio.to_thread(self._set_state, one, "admitted", reason, cause)
            return RuleOutcome(number, "admitted", reason)
        if one.state != "candidate":
            return RuleOutcome(number, one.state, one.state_reason)
        if verified is False:
            reason = "the corrected answer fails the task's own check: one of them is wrong"
            await asyncio.to_thread(self._set_state, one, "quarantined", reason, cause)
            return RuleOutcome(number, "quarantined", reason)
        if corrected:
            what = (
                "passes the task's check" if verified else "has the user's word; the task has no check to run"
            )
            reason = f"the user's corrected answer {what}"
            await asyncio.to_thread(self._set_state, one, "admitted", reason, cause)
            return RuleOutcome(number, "admitted", reason)
        cases = await asyncio.to_thread(failed_cases, self.store, one, task.id)
        if task.payload.check:
            cases = [HeldBackCase(task.id, task.payload.objective, ReplayCase(task.payload)), *cases]
        tried = await self.replay(number, cases, cause=cause)
        if tried.state != "candidate" or not said:
            return tried
        # A person who says a rule means it; a replay can only show that it does harm.
        reason = f"the user's word ({tried.reason})"
        await asyncio.to_thread(self._set_state, one, "admitted", reason, cause)
        return RuleOutcome(number, "admitted", reason)

    async def replay(self, number: int, cases: Sequence[HeldBackCase], *, cause: str) -> RuleOutcome:
        """Try a candidate on held-back cases with the real mind, as far as that is possible."""
        rehearse = self._rehearse
        chosen = list(cases)[: self._cases()]
        if rehearse is None or not chosen:
            return RuleOutcome(number, "candidate", "waits for a case it can be tried on, or for its pattern")
        one = await asyncio.to_thread(self.book.get, number)
        if one.scope.work in ROLES:
            chosen = [replace(case, reference=replace(case.reference, whole=True)) for case in chosen]
        results: dict[tuple[str, bool], bool | None] = {}
        for case in chosen:
            given = replace(one, example=None) if one.example and one.example.task == case.task else one
            results[case.task_id, False] = await rehearse(case.reference, None)
            results[case.task_id, True] = await rehearse(case.reference, given)
        possible = [
            case
            for case in chosen
            if results[case.task_id, False] is not None and results[case.task_id, True] is not None
        ]
        if not possible:
            return RuleOutcome(
                number, "candidate", "its cases cannot be replayed any more; waits for its pattern"
            )

        def trial(case: HeldBackCase, rule: Rule | None) -> bool:
            return bool(results[case.task_id, rule is not None])

        admission = await asyncio.to_thread(self.book.admit, number, possible, trial)
        after = await asyncio.to_thread(self.book.get, number)
        if after.state != one.state:
            await asyncio.to_thread(self._note, after, one.state, admission.reason, cause)
        elif after.state == "candidate":
            after = await asyncio.to_thread(self._count_trial, after, cause)
        return RuleOutcome(number, after.state, admission.reason)

    def _count_trial(self, one: Rule, cause: str) -> Rule:
        """A candidate that fixed nothing again and again is retired: each trial costs two calls."""
        with self.store.writing():
            key_values = KeyValueStore(self.store)
            trials = int(key_values.get(f"trials:{one.id}", 0)) + 1
            key_values.put(f"trials:{one.id}", trials)
            if trials >= _MOST_TRIALS and one.source != "user":
                self._set_state(one, "retired", f"fixed none of the cases in {trials} trials", cause)
            return self.book.get(one.id)

    def _set_state(self, one: Rule, state: str, reason: str, cause: str) -> None:
        with self.store.writing():
            self.book.set_state(one.id, state, reason)  # type: ignore[arg-type] # a closed set at every call
            self._note(self.book.get(one.id), one.state, reason, cause)

    def _attach(self, one: Rule) -> None:
        """An admitted rule answers the newest pattern of its scope, if there is one."""
        patterns = [
            pattern for pattern in PatternStore(self.store).all(one.scope) if pattern.scope == one.scope
        ]
        if one.pattern_id is None and patterns:
            newest = max(patterns, key=lambda pattern: pattern.last_seen)
            self.book.attach(one.id, newest.id)
            PatternStore(self.store).set_prevention(newest.id, one.rule)

    def _note(self, after: Rule, before: str, reason: str, cause: str) -> None:
        if after.state == "admitted":
            self._attach(after)
        self.ledger.record(
            "mitigation",
            str(after.id),
            change=(before, after.state),
            cause=cause,
            actor="gate",
            details={"evidence": {"reason": reason, "rule": after.rule}},
        )
