"""What decides on a turn's actions, whatever way it works: the policy, what was learned, a person."""

from hal9.neurons.turn import Turn
from hal9.tools.action import Action, ActionContext, ActionGate, ActionOutcome, Decision
from hal9.tools.person import JournalPerson
from hal9.tools.policy import GateChain, PolicyGate
from hal9.workbench import CommandResult

__all__ = ["context_of", "gate_of", "person_of", "refusal", "tell_outcome"]


def gate_of(turn: Turn) -> ActionGate:
    """The home's policy and the guards that were learned, as one."""
    return GateChain([PolicyGate(turn.settings.tools.policy), turn.services.gate])


def person_of(turn: Turn) -> JournalPerson:
    """Whoever answers `hal9 approvals`."""
    settings = turn.settings.tools.person
    return JournalPerson(
        journal=turn.services.journal,
        clock=turn.services.clock,
        wait_seconds=settings.wait_seconds,
        unanswered=settings.unanswered,
        stopping=turn.services.stopping,
        paused=turn.paused,
        progress=turn.progress,
    )


def context_of(turn: Turn) -> ActionContext:
    """Where the turn's actions take place."""
    return ActionContext(
        task_id=turn.signal.task_id,
        signal_id=turn.signal.id,
        neuron=turn.definition.name,
        layer=turn.meta.layer,
        workspace=turn.task.workspace or "",
        objective=turn.task.objective,
        check=turn.task.check or "",
        task_family=turn.task.scope.task_family,
    )


async def refusal(turn: Turn, action: Action, *, label: str) -> tuple[str, Decision]:
    """Why an action of a whole answer must not be done (empty when it may), and what the gate said.

    A person is asked where needed.
    """
    context = context_of(turn)
    decision = await gate_of(turn).before(action, context)
    if decision.verdict == "refuse":
        return f"it is not allowed: {decision.reason}", decision
    if decision.verdict == "ask":
        if turn.services.snapshots is None:
            return f"it needs a person's yes: {decision.reason}", decision
        said = await person_of(turn).approve(action, context, label=label, reason=decision.reason)
        if not said.approves:
            return f"nobody said yes to it: {decision.reason}", decision
    return "", decision


async def tell_outcome(turn: Turn, action: Action, decision: Decision, done: CommandResult) -> None:
    """How a command of a whole answer ended: guards are learned from it as from one of a turn with tools."""
    outcome = ActionOutcome(
        ok=done.ok, exit_code=done.exit_code, observation=done.output, seconds=done.seconds
    )
    await gate_of(turn).after(action, context_of(turn), decision, outcome)
