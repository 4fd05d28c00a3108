"""A tuned prompt in the home's ledger: in force when held-out tasks say so, else only written down."""

from collections.abc import Mapping
from dataclasses import dataclass

from hal9.learning import Adjuster, Gate, KeyValueStore, Ledger, PromptStore
from hal9.learning.gate.measured import record_measured
from hal9.learning.state.change_facts import Details, Pairs, change_evidence
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram, diff, token_distance
from hal9.settings import Settings
from hal9.tuning.candidates import added_rules
from hal9.tuning.judging import HeldOut
from hal9.tuning.session import TuneResult

__all__ = ["Promotion", "open_gate", "promote", "refusal"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of the winner: the ledger's id (empty when nothing changed) and a sentence."""

    change: str
    applied: bool
    told: str


def promote(
    store: MemoryStore,
    files: Mapping[str, Promptgram],
    neuron: str,
    result: TuneResult,
    *,
    actor: str,
    settings: Settings,
    wanted: bool = True,
) -> Promotion:
    """Write the winner into the ledger, once a run; it comes into force when it is certainly better.

    Args:
        store: the home's memory file.
        files: the home's neurons by name.
        neuron: whose prompt was tuned.
        result: of the run.
        actor: the mind that proposed.
        settings: of the home.
        wanted: False only writes it down.
    """
    base, winner, held_out = result.before, result.after, result.held_out
    if winner.render() == base.render():
        return Promotion("", applied=False, told="Nothing better was found; the prompt stays as it is.")
    prompts, ledger, key_values = PromptStore(store, files), Ledger(store), KeyValueStore(store)
    gate = open_gate(store, prompts, settings)
    refused = refusal(key_values, neuron, wanted=wanted) or _uncertain(held_out)
    with store.writing():
        cause = f"tune/{result.folder.name}/{winner.content_hash}"
        known = [one for one in ledger.rows(kinds=("prompt",), target=neuron) if one.cause == cause]
        if known:
            applied = ledger.get(known[-1].id).state == "applied"
            return Promotion(known[-1].id, applied, f"The change stands in the ledger as {known[-1].id}.")
        if not refused and prompts.in_force(neuron).content_hash != base.content_hash:
            refused = "the neuron's prompt was changed by something else while the run went on"
        made = record_measured(
            ledger,
            gate,
            ("prompt", neuron),
            (base, winner),
            cause=cause,
            actor=actor,
            details=_details(result),
            refused=refused,
        )
    if refused:
        return Promotion(
            made.id, applied=False, told=f"Not promoted: {refused}. The ledger has it as {made.id}."
        )
    undo = f"`hal9 rollback {made.id}` takes it back"
    return Promotion(made.id, applied=True, told=f"Promoted as change {made.id}; {undo}.")


def _details(result: TuneResult) -> Details:
    """What the ledger's row says of the change."""
    base, winner, held_out = result.before, result.after, result.held_out
    rules = added_rules(winner, base)
    told = "; ".join(item.lstrip("-* ") for _, item in rules) or diff(base, winner)[:400]
    paired: Pairs = {
        "gain": held_out.gain,
        "low": held_out.low,
        "high": held_out.high,
        "won": held_out.won,
        "lost": held_out.lost,
    }
    return {
        "evidence": change_evidence(
            winner,
            key=rules[0][0] if rules else "Policy",
            what={"content": told},
            critique=held_out.told(),
            error_type="low_quality",
        ),
        "figures": {"share": round(token_distance(base, winner), 4), "paired": paired},
    }


def open_gate(store: MemoryStore, prompts: PromptStore, settings: Settings) -> Gate:
    """The gate that brings prompts into force; it has nothing to measure, as the run has measured."""
    return Gate(
        store,
        prompts,
        Adjuster(store, prompts, lambda: settings),
        settings=lambda: settings,
        perform=None,
        alert=lambda _text: None,
    )


def refusal(key_values: KeyValueStore, neuron: str, *, wanted: bool) -> str:
    """Why nothing of a neuron may be changed now; empty when it may."""
    if not wanted:
        return "--no-promote was given"
    if key_values.paused:
        return "learning is paused (`hal9 learning resume` lets it go on)"
    if neuron in key_values.frozen:
        return f"{neuron} is frozen"
    return ""


def _uncertain(held_out: HeldOut) -> str:
    if not held_out.certain:
        return (
            f"the gain on held-out tasks is not certain ({held_out.gain:+.3f}, "
            f"95% {held_out.low:+.3f} to {held_out.high:+.3f})"
        )
    return ""
