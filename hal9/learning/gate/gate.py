"""The way of a change into force: approval where it is major, replay on remembered tasks, canary, promotion.

Replay and canary compare pairs. In the replay both prompts do the same task. In the canary the k-th task of a
class that got the candidate is paired with the k-th task of that class that did not. Only pairs in which one
side passed and the other failed tell anything; with w won and l lost, the candidate is turned down when P(X
>= l) <= significance for X ~ Binomial(w + l, 1/2), that is McNemar's exact test (McNemar, Psychometrika 12,
1947), one-sided. A change is promoted when the canary is complete and it has not lost more pairs than it has
won.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import comb

from hal9.errors.learning import ApprovalStale, ChangeNotWaiting
from hal9.learning.gate.adjust import Adjuster, Proposal
from hal9.learning.replay_cases import ReplayCase, remembered_cases
from hal9.learning.state.change_facts import Figures, Pairs, change_evidence
from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Change, ChangeState, Ledger
from hal9.learning.state.prompts import Canary, PromptStore
from hal9.learning.state.stability import Stability
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram
from hal9.settings import Settings
from hal9.signals import ErrorGradient

__all__ = ["CHANGES", "Gate", "Perform", "mcnemar_worse"]

_log = logging.getLogger("hal9.learning.gate.gate")
_SPARE = 4
_IMPLEMENTS = 2
_LOOK_SECONDS = 1.0
_OUTDATED = "the prompt was changed meanwhile"
CHANGES = ("prompt", "parameter", "model")
Perform = Callable[[ReplayCase, str, Promptgram, str], Awaitable[bool | None]]
"""Whether a remembered task passes when a neuron has a promptgram; None when that cannot be tried, or the
neuron's prompt plays no part in it. The last argument is the same for both sides of a pair."""


def mcnemar_worse(won: int, lost: int) -> float:
    """Probability of losing at least so many of the telling pairs if nothing had changed; 1 without any."""
    total = won + lost
    return float(sum(comb(total, k) for k in range(lost, total + 1)) / 2**total)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A judged task as the canary sees it."""

    task_class: str
    prompt: str
    passed: bool
    at: float


class Gate:
    """Moves changes along, one step at a time. `step` is called from one place at a time.

    Args:
        store: the memory file.
        prompts: the promptgrams in force.
        adjuster: its limits and cooldown.
        settings: in force now.
        perform: replays a task; None skips replays.
        alert: tells people.
    """

    def __init__(
        self,
        store: MemoryStore,
        prompts: PromptStore,
        adjuster: Adjuster,
        *,
        settings: Callable[[], Settings],
        perform: Perform | None,
        alert: Callable[[str], None],
    ) -> None:
        self.store = store
        self.prompts = prompts
        self.ledger = Ledger(store)
        self.stability = Stability(store)
        self.key_values = KeyValueStore(store)
        self._adjuster = adjuster
        self._settings = settings
        self._perform = perform
        self._alert = alert
        self._warned: set[str] = set()
        self._looked = float("-inf")

    # --- in ---------------------------------------------------------------------------------------

    def propose(self, neuron: str, gradient: ErrorGradient, *, cause: str) -> Change | None:
        """Take up what a gradient suggests, if limits allow; the same cause again changes nothing."""
        with self.store.writing():
            known = [
                change for change in self.ledger.rows(kinds=CHANGES, target=neuron) if change.cause == cause
            ]
            if known:
                return known[0]
            made = self._adjuster.consider(neuron, gradient)
            if not isinstance(made, Proposal):
                for refusal in made:
                    _log.info("%s: %s %s", neuron, refusal.parameter, refusal.reason)
                return None
            change = self._enter(neuron, made, gradient, cause)
        self.prompts.reload()
        return change

    def _enter(self, neuron: str, made: Proposal, gradient: ErrorGradient, cause: str) -> Change:
        settings = self._settings()
        safety = settings.safety.of(neuron)
        major = made.share >= safety.major_change or made.kind in safety.approval_kinds
        change = self.ledger.record(
            made.kind,
            neuron,
            change=(made.before.dump(), made.after.dump()),
            cause=cause,
            actor="learning",
            state="waiting" if major else "candidate",
            details={
                "evidence": change_evidence(
                    made.after,
                    key=made.key,
                    what=made.what,
                    signs=made.signs,
                    critique=gradient.critique[:600],
                    error_type=gradient.error_type.type,
                ),
                "figures": {"share": round(made.share, 4), "magnitude": round(gradient.magnitude, 4)},
            },
        )
        if major:
            self._alert(f"change {change.id[-12:]} of {neuron} waits for approval (`hal9 approvals`)")
        elif not settings.gate.enabled:
            self._promote(change, cause="gate.enabled is false", figures={})
        return change

    # --- approval -----------------------------------------------------------------------------------

    def approve(self, change_id: str, shown_hash: str, *, actor: str = "user") -> Change:
        """A person agrees with the content that has this hash.

        A change that was made from a prompt which is not in force any more is rejected instead: its content
        would bring back what was undone since, or undo what was learned.

        Raises:
            ChangeUnknown, ChangeNotWaiting: there is nothing to approve.
            ApprovalStale: the content is another one.
        """
        with self.store.writing():
            change = self._waiting(change_id)
            if change.content_hash != shown_hash:
                raise ApprovalStale(change=change.id, shown=shown_hash, found=change.content_hash)
            if self.prompts.in_force(change.target).dump() != change.before:
                return self.ledger.move(change.id, "rejected", actor="gate", cause=_OUTDATED)
            moved = self.ledger.move(change.id, "candidate", actor=actor, cause="approved")
            if not self._settings().gate.enabled:
                moved = self._promote(moved, cause="approved", figures={})
        self.prompts.reload()
        return moved

    def deny(self, change_id: str, why: str, *, actor: str = "user") -> Change:
        """A person refuses a change."""
        with self.store.writing():
            return self.ledger.move(self._waiting(change_id).id, "denied", actor=actor, cause=why or "denied")

    def _waiting(self, change_id: str) -> Change:
        change = self.ledger.get(change_id)
        if change.state != "waiting":
            raise ChangeNotWaiting(change=change.id, state=change.state)
        return change

    # --- on -----------------------------------------------------------------------------------------

    async def step(self) -> int:
        """Move every change on as far as it can go now; returns how many moved."""
        if self._settings().safety.paused or self.key_values.paused:
            return 0
        moved = 0
        for change in await asyncio.to_thread(self._here, "candidate"):
            moved += await self._replay(change)
        moved += await asyncio.to_thread(self._watch)
        for change in await asyncio.to_thread(self._here, "canary"):
            if await asyncio.to_thread(self._starves, change):
                moved += await self._decide_by_replay(change)
        return moved

    def _here(self, state: ChangeState) -> list[Change]:
        """Changes of this process's neurons; others are moved by the process that hosts them."""
        rows = self.ledger.rows(kinds=CHANGES, states=(state,))
        return [change for change in rows if self.prompts.knows(change.target)]

    async def _replay(self, change: Change) -> int:
        seen = await self._replayed(change)
        return await asyncio.to_thread(self._after_replay, change.id, seen)

    async def _replayed(self, change: Change) -> Pairs:
        """Both prompts on remembered tasks: pairs, won and lost ones, tasks that were skipped."""
        after = Promptgram.parse(change.after, source=change.target)
        before = Promptgram.parse(change.before, source=change.target)
        won = lost = pairs = skipped = 0
        most = self._settings().gate.replay_tasks
        if self._perform is not None and change.kind != "model":
            divides = int(before.meta.get("layer", 0)) > _IMPLEMENTS
            cases = await asyncio.to_thread(remembered_cases, self.store, most * _SPARE, divided=divides)
            for number, case in enumerate(cases):
                pair = f"{change.id}-{number}"
                old = await self._perform(case, change.target, before, pair)
                new = None if old is None else await self._perform(case, change.target, after, pair)
                if old is None or new is None:
                    skipped += 1
                    continue
                pairs += 1
                won += int(new and not old)
                lost += int(old and not new)
                if pairs == most:
                    break
        return {"pairs": pairs, "won": won, "lost": lost, "skipped": skipped}

    def _after_replay(self, change_id: str, seen: Pairs) -> int:
        won, lost, figures = seen["won"], seen["lost"], Figures(replay=seen)
        with self.store.writing():
            change = self.ledger.get(change_id)
            if change.state != "candidate":
                return 0
            if lost > won or mcnemar_worse(won, lost) <= self._settings().gate.significance:
                self.ledger.move(
                    change_id, "rejected", actor="gate", cause="lost in the replay", figures=figures
                )
            else:
                promptgram = Promptgram.parse(change.after, source=change.target)
                self.prompts.write_canary(
                    change.target, Canary(change.id, promptgram, self._settings().gate.canary_share)
                )
                started: Figures = {**figures, "canary_since": self.store.clock.now()}
                self.ledger.move(change_id, "canary", actor="gate", cause="replay held", figures=started)
        self.prompts.reload()
        return 1

    def _watch(self) -> int:
        """Decide canaries, and watch what was promoted."""
        moved = 0
        with self.store.writing():
            for change in self._here("canary"):
                moved += self._judge_canary(change)
            for change in self._here("applied"):
                if not change.figures.get("watched"):
                    moved += self._judge_applied(change)
            self._warn()
        if moved:
            self.prompts.reload()
        return moved

    def _warn(self) -> None:
        """Tell people what worries: each thing once, and again when it had passed and is back."""
        now = self.store.clock.now()
        if now - self._looked < _LOOK_SECONDS:
            return  # hundreds of tasks may finish within a second, and each look reads many outcomes
        self._looked = now
        worries = {
            one.scope: f"forgetting: {one.scope} was solved {one.solved} times, "
            f"its last {one.failed_lately} tasks failed"
            for one in self.stability.forgotten()
        }
        worries |= {one.key: one.text for one in self.stability.unusual()}
        for key, text in worries.items():
            if key not in self._warned:
                self._alert(text)
        self._warned = set(worries)

    def _canary(self, change: Change) -> Pairs:
        """Tasks that got the candidate, and the pairs that they make with tasks that did not."""
        old = Promptgram.parse(change.before, source=change.target).content_hash
        new = Promptgram.parse(change.after, source=change.target).content_hash
        seen = self._judged(change.target, since=float(change.figures.get("canary_since", change.time)))
        won, lost, pairs = _paired(
            [one for one in seen if one.prompt == old], [one for one in seen if one.prompt == new]
        )
        tried = sum(1 for one in seen if one.prompt == new)
        return {"tasks": tried, "pairs": pairs, "won": won, "lost": lost}

    def _judge_canary(self, change: Change) -> int:
        settings = self._settings().gate
        if self.prompts.in_force(change.target).dump() != change.before:
            return self._reject(change, _OUTDATED, {})
        canary = self._canary(change)
        won, lost, pairs = canary["won"], canary["lost"], canary["pairs"]
        figures: Figures = {"canary": canary}
        worse = mcnemar_worse(won, lost) if lost else 1.0
        if worse <= settings.significance:
            return self._reject(change, f"lost in the canary (p = {worse:.3f})", figures)
        if pairs < settings.canary_tasks:
            return 0
        if lost > won:
            return self._reject(change, "lost more pairs than it won", figures)
        if not self._adjuster.cooled(change.target):
            return 0
        self._promote(change, cause="held in the canary", figures=figures)
        return 1

    def _starves(self, change: Change) -> bool:
        """Whether a canary has not come to its tasks within the window: its layer speaks too rarely."""
        since = float(change.figures.get("canary_since", change.time))
        with self.store.reading() as connection:
            judged = connection.execute(
                "SELECT count(*) FROM outcomes WHERE passed IS NOT NULL AND at >= ?", (since,)
            ).fetchone()[0]
        return int(judged) >= self._settings().gate.canary_window and self._adjuster.cooled(change.target)

    async def _decide_by_replay(self, change: Change) -> int:
        """Say that a canary gathered too little, and decide on remembered tasks in which its layer speaks."""
        seen = await self._replayed(change)
        return await asyncio.to_thread(self._after_window, change.id, seen)

    def _after_window(self, change_id: str, seen: Pairs) -> int:
        settings = self._settings().gate
        with self.store.writing():
            change = self.ledger.get(change_id)
            if change.state != "canary":
                return 0
            canary = self._canary(change)
            won, lost = seen["won"] + canary["won"], seen["lost"] + canary["lost"]
            told = (
                f"its canary came to {canary['pairs']} of {settings.canary_tasks} pairs within "
                f"{settings.canary_window} tasks"
            )
            figures: Figures = {"canary": canary, "replay_after_window": seen}
            if not seen["pairs"]:
                why = f"{told}, and no remembered task asks {change.target}: nothing speaks for it"
                self._reject(change, why, figures)
            elif lost > won or mcnemar_worse(won, lost) <= settings.significance:
                why = f"{told}; it lost in the replay of {seen['pairs']} tasks"
                self._reject(change, why, figures)
            else:
                why = f"{told}; it held in the replay of {seen['pairs']} tasks"
                self._promote(change, cause=why, figures=figures)
            self._alert(f"change {change.id[-12:]} of {change.target}: {why}")
        self.prompts.reload()
        return 1

    def _judge_applied(self, change: Change) -> int:
        """Roll a promoted change back when its first tasks went worse than the last ones before it."""
        safety = self._settings().safety
        new = Promptgram.parse(change.after, source=change.target).content_hash
        since = float(change.figures.get("applied_at", change.time))
        all_seen = self._judged(change.target, since=0.0)
        before = [one.passed for one in all_seen if one.at < since and one.prompt != new]
        before = before[-safety.rollback_window_tasks :]
        after = [one.passed for one in all_seen if one.at >= since and one.prompt == new]
        after = after[: safety.rollback_window_tasks]
        if not after:
            return 0
        missing = safety.rollback_window_tasks - len(after)
        rate = sum(before) / len(before) if before else 0.0
        # The best that can still come of the window: below the limit means there is nothing to wait for.
        best = (sum(after) + missing) / safety.rollback_window_tasks
        figures: Figures = {"window": {"before": rate, "tasks": len(after), "passed": sum(after)}}
        if before and rate - best >= safety.rollback_drop:
            self.restore(change, actor="gate", cause="success rate fell after it", figures=figures)
            self._alert(f"change {change.id[-12:]} of {change.target} was rolled back: success rate fell")
            return 1
        if missing == 0:
            self.ledger.move(
                change.id,
                "applied",
                actor="gate",
                cause="window passed",
                figures={**figures, "watched": True},
            )
        return 0

    def _judged(self, neuron: str, *, since: float) -> list[_Seen]:
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT task_class, prompts, passed, at FROM outcomes WHERE passed IS NOT NULL AND at >= ? "
                "ORDER BY at, rowid",
                (since,),
            ).fetchall()
        found = []
        for row in rows:
            prompt = json.loads(row["prompts"]).get(neuron)
            if prompt:
                found.append(_Seen(row["task_class"], prompt, bool(row["passed"]), float(row["at"])))
        return found

    # --- into force, and out of it --------------------------------------------------------------------

    def _reject(self, change: Change, why: str, figures: Figures) -> int:
        self.prompts.write_canary(change.target, None)
        self.ledger.move(change.id, "rejected", actor="gate", cause=why, figures=figures)
        return 1

    def _promote(self, change: Change, *, cause: str, figures: Figures) -> Change:
        now = self.store.clock.now()
        self.prompts.write_canary(change.target, None)
        self.set_prompt(change.target, change.after, cause=change.id, actor="gate")
        self.key_values.put(f"changed:{change.target}", now)
        moved = self.ledger.move(
            change.id, "applied", actor="gate", cause=cause, figures={**figures, "applied_at": now}
        )
        self._hold(change)
        return moved

    def restore(self, change: Change, *, actor: str, cause: str, figures: Figures | None = None) -> Change:
        """Undo an applied change whose content is in force: byte for byte what was before. Nests."""
        self.set_prompt(change.target, change.before, cause=change.id, actor=actor)
        self.key_values.put(f"changed:{change.target}", self.store.clock.now())
        moved = self.ledger.move(change.id, "rolled_back", actor=actor, cause=cause, figures=figures)
        self._hold(change)
        return moved

    def set_prompt(self, neuron: str, text: str, *, cause: str, actor: str) -> None:
        """Write a neuron's promptgram and note the whole text before and after. Nests."""
        before = self.prompts.in_force(neuron).dump()
        self.prompts.write_current(neuron, Promptgram.parse(text, source=neuron))
        self.ledger.record("prompt_set", neuron, change=(before, text), cause=cause, actor=actor)

    def _hold(self, change: Change) -> None:
        limit = self._settings().safety.oscillation_flips
        for key in change.evidence.get("signs", ()):
            if self.stability.hold_if_oscillating(change.target, key, limit=limit, cause=change.id):
                self._alert(f"{change.target}: {key} oscillates and is held still")


def _paired(old: Sequence[_Seen], new: Sequence[_Seen]) -> tuple[int, int, int]:
    """Pairs won and lost by the candidate, and all pairs: k-th with k-th within each task class."""
    won = lost = pairs = 0
    for task_class in {one.task_class for one in new}:
        left = [one.passed for one in old if one.task_class == task_class]
        right = [one.passed for one in new if one.task_class == task_class]
        for was, now in zip(left, right, strict=False):
            pairs += 1
            won += int(now and not was)
            lost += int(was and not now)
    return won, lost, pairs
