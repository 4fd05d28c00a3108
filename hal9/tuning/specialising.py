"""Specialists in a home: each a neuron of its own in the ledger, and the router that chooses among them.

A specialist's file holds the prompt as it was; what makes it a specialist is a change in the ledger, which
`hal9 rollback` takes back like every other. The cluster's routing reads the routers of `.hal9/specialists/`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hal9.learning import Ledger, PromptStore
from hal9.learning.gate.measured import record_measured
from hal9.learning.state.change_facts import Details, change_evidence
from hal9.learning.state.key_value import KeyValueStore
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram, diff, token_distance
from hal9.settings import Settings
from hal9.tuning.judging import RoutedHeldOut
from hal9.tuning.niches import Specialists
from hal9.tuning.promotion import Promotion, open_gate, refusal
from hal9.tuning.router import SpecialistRouter
from hal9.tuning.session import TuneResult

__all__ = ["SpecialistPlace", "promote_specialists", "save_router"]


@dataclass(frozen=True, slots=True)
class SpecialistPlace:
    """Where a home keeps what specialists consist of: files of neurons, and routers."""

    neurons: Path
    routers: Path


def promote_specialists(
    store: MemoryStore,
    files: Mapping[str, Promptgram],
    neuron: str,
    result: TuneResult,
    place: SpecialistPlace,
    *,
    actor: str,
    settings: Settings,
    wanted: bool = True,
) -> Promotion:
    """Make each specialist a neuron and write the router, when they are certainly better than one prompt.

    Args:
        store: the home's memory file.
        files: the home's neurons by name.
        neuron: whose prompt was tuned; it stays as it is, for tasks when no specialist can be reached.
        result: of the run.
        place: of the home.
        actor: the mind that proposed.
        settings: of the home.
        wanted: False changes nothing.
    """
    found, routed = result.search.specialists, result.routed
    if found is None or routed is None:
        return Promotion("", applied=False, told="There are no specialists.")
    refused = refusal(KeyValueStore(store), neuron, wanted=wanted)
    if not routed.certain:
        refused = refused or "what specialists gain over one prompt on held-out tasks is not certain"
    if refused:
        return Promotion("", applied=False, told=f"No specialists: {refused}.")
    names = _names(neuron, files, found, result.folder.name, store)
    bases = {name: replace(result.before, id=name, version=1, parent=None) for name in names}
    prompts = PromptStore(store, {**files, **bases})
    gate, ledger, made = open_gate(store, prompts, settings), Ledger(store), []
    for name, one in zip(names, found.candidates, strict=True):
        path = place.neurons / f"{name}.md"
        if not path.exists():
            path.write_text(bases[name].dump(), encoding="utf-8")
        cause = _cause(result.folder.name, name)
        known = [row for row in ledger.rows(kinds=("prompt",), target=name) if row.cause == cause]
        change = (bases[name], replace(one.promptgram, id=name))
        with store.writing():
            row = known[-1] if known else record_measured(
                ledger, gate, ("prompt", name), change, cause=cause, actor=actor,
                details=_details(change, routed), refused="",
            )  # fmt: skip
        made.append(row.id)
    save_router(place.routers / f"{neuron}.json", neuron, names, found.router)
    told = f"{', '.join(names)} are neurons now; the cluster sends each task to one of them after `hal9 up`"
    return Promotion(", ".join(made), applied=True, told=f"{told}. `hal9 rollback {made[0]}` takes one back.")


def _details(change: tuple[Promptgram, Promptgram], routed: RoutedHeldOut) -> Details:
    before, after = change
    told = {"content": diff(before, after)[:400]}
    evidence = change_evidence(
        after, key="Policy", what=told, critique=routed.told(), error_type="low_quality"
    )
    return {"evidence": evidence, "figures": {"share": round(token_distance(before, after), 4)}}


def _cause(run: str, name: str) -> str:
    return f"tune/{run}/specialist/{name}"


def _names(
    neuron: str, files: Mapping[str, Promptgram], found: Specialists, run: str, store: MemoryStore
) -> list[str]:
    """NEURON-a, NEURON-b, …; names of neurons that are something else already are passed over."""
    causes = {row.cause for row in Ledger(store).rows(kinds=("prompt",))}
    names: list[str] = []
    number = 0
    while len(names) < len(found.candidates):
        letters = chr(ord("a") + number % 26) * (1 + number // 26)
        name, number = f"{neuron}-{letters}", number + 1
        if name not in files or _cause(run, name) in causes:
            names.append(name)
    return names


def save_router(path: Path, neuron: str, names: Sequence[str], router: SpecialistRouter) -> None:
    """Write the router of a neuron's specialists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps({"neuron": neuron, **router.named(names).to_json()}), encoding="utf-8")
    scratch.replace(path)
