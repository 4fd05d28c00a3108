"""A change that was measured elsewhere, written into the ledger with what came of it.

Tuning runs and the ranker's trainer measure a candidate themselves, in pairs on tasks that chose nothing.
What they found goes through here: a row with before, after and figures, then `applied` or `rejected`.
"""

from hal9.learning.gate.gate import Gate
from hal9.learning.state.change_facts import Details
from hal9.learning.state.ledger import Change, Ledger
from hal9.promptgram import Promptgram

__all__ = ["record_measured"]


def record_measured(
    ledger: Ledger,
    gate: Gate,
    of: tuple[str, str],
    change: tuple[Promptgram, Promptgram],
    *,
    cause: str,
    actor: str,
    details: Details,
    refused: str,
) -> Change:
    """Write a change and bring it into force, or say why not. Nests inside `store.writing()`.

    Args:
        ledger: where it is written.
        gate: brings it into force.
        of: kind and target (neuron).
        change: before and after.
        cause: names it, so that it is written once.
        actor: who proposed it.
        details: `evidence`, what speaks for it, and `figures`, what was measured.
        refused: why it does not come into force; empty when it does.
    """
    kind, target = of
    before, after = change
    made = ledger.record(
        kind,
        target,
        change=(before.dump(), after.dump()),
        cause=cause,
        actor=actor,
        state="candidate",
        details=details,
    )
    if refused:
        ledger.move(made.id, "rejected", actor="gate", cause=refused)
        return made
    gate.set_prompt(target, after.dump(), cause=made.id, actor="gate")
    now = ledger.store.clock.now()
    ledger.move(
        made.id, "applied", actor="gate", cause="held in the paired comparison", figures={"applied_at": now}
    )
    return made
