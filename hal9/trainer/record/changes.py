"""A run's steps as changes of neurons, in the ledger that all learning of HAL9 is written into.

The ranker is a neuron whose front matter holds the parameters that differ from their defaults; the tuner is
one whose prompt L2 edits. A step is a change of kind "parameter", an edit one of kind "prompt", each with
cause, evidence, whole contents before and after, and what the gate measured.

A run's folder is a home of its own, so that `hal9 --home FOLDER ledger` reads it. The scratchpad comes first:
rows are made from its entries, and a run that was killed between the two makes them when it goes on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hal9.clock import Clock
from hal9.errors.trainer import TrainingRunUnchanged, TrainingRunUnknown
from hal9.learning import Adjuster, Change, Gate, KeyValueStore, Ledger, PromptStore, Rollback, Stability
from hal9.learning.gate.gate import CHANGES, mcnemar_worse
from hal9.learning.gate.measured import record_measured
from hal9.learning.state.change_facts import Evidence, Figures, Pairs, change_evidence
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram, token_distance
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.settings import Settings
from hal9.trainer.evaluation.evaluator import Gain
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.runs import list_runs, write_trained

__all__ = [
    "RANKER",
    "TUNER",
    "MeasuredEdit",
    "RunLedger",
    "open_ledger",
    "revert",
    "verdict",
    "with_parameters",
]

RANKER: Final = "l0-ranker"
TUNER: Final = "l1-ranker-tuner"
NOISE = 0.6
"""With it none of 1,500 random steps from the defaults is kept, and good steps from worse starts are."""
FIRST_TRIES = 4
"""As many tries a candidate is held to at least; the first would else have to show nothing."""
_SETTINGS = "# This run's folder is a home: `hal9 --home FOLDER ledger` shows what was changed.\n{}\n"


def verdict(gain: Gain, *, noise: float, tried: int = 1, significance: float | None = None) -> str:
    """Why a candidate is turned down; empty when it is kept.

    It must gain more than the noise, and hold the gate's rule for pairs that every change of HAL9 must hold.
    The largest of n gains that are noise grows like sqrt(2 ln n) standard errors, so the more was tried, the
    more a candidate must show; the first is held to what the best of five would be.

    Args:
        gain: the paired comparison with the best so far.
        noise: scales that bound; the standard error is the larger of two, so less than 1 is in place.
        tried: candidates measured so far, this one included.
        significance: of losing; None is the settings' `gate.significance`.

    Source:
        Donoho, Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994 (the universal
        threshold).
    """
    needed = noise * math.sqrt(2.0 * math.log(tried + FIRST_TRIES))
    if not gain.beats(needed):
        return f"no gain beyond the noise ({needed:.1f} standard errors)"
    level = Settings().gate.significance if significance is None else significance
    if gain.lost > gain.won or mcnemar_worse(gain.won, gain.lost) <= level:
        return f"lost more cases than it won ({gain.lost} to {gain.won})"
    return ""


def with_parameters(gram: Promptgram, parameters: Parameters) -> Promptgram:
    """The ranker's promptgram with these parameters; equal ones give the same promptgram back."""
    wanted = parameters.changes()
    gone = {name: None for name in gram.meta if name in PARAMETERS and name not in wanted}
    changes = {name: value for name, value in wanted.items() if gram.meta.get(name) != value}
    return gram.with_meta(**gone, **changes) if gone or changes else gram


def parameters_of(gram: Promptgram) -> Parameters:
    """The inverse."""
    return Parameters({name: float(value) for name, value in gram.meta.items() if name in PARAMETERS})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEdit:
    """What L2 answered, and what it was worth.

    Attributes:
        cause: names the edit, so that it is written once.
        actor: the mind that proposed it.
        answer: its whole proposal.
        prompts: names of parent and child.
        gain, error: final NDCG@10 against the parent, paired over seeds.
        best: whether the child is the best promptgram so far.
    """

    cause: str
    actor: str
    answer: Mapping[str, Any]
    prompts: tuple[str, str]
    gain: float
    error: float
    best: bool


class RunLedger:
    """Writes a run's steps and edits, and takes them back. Safe to call from any thread, like the store.

    Args:
        store: the run's memory file, open.
        files: the promptgrams that the run began with, by neuron.
    """

    def __init__(self, store: MemoryStore, files: Mapping[str, Promptgram]) -> None:
        settings = Settings()
        self.store = store
        self.ledger = Ledger(store)
        self.prompts = PromptStore(store, files)
        self._limit = settings.safety.oscillation_flips
        self._key_values = KeyValueStore(store)
        self._stability = Stability(store)
        self._gate = Gate(
            store,
            self.prompts,
            Adjuster(store, self.prompts, lambda: settings),
            settings=lambda: settings,
            perform=None,
            alert=lambda _text: None,
        )
        self._rollback = Rollback(store, self.prompts, self._gate)

    # --- reading ----------------------------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """The ranker's parameters in force."""
        self.prompts.reload_if_changed()
        return parameters_of(self.prompts.current(RANKER))

    @property
    def stopped(self) -> str:
        """Why nothing may be learned now; empty when it may."""
        if self._key_values.paused:
            return "learning is paused"
        return f"{RANKER} is frozen" if RANKER in self._key_values.frozen else ""

    def still(self, names: Sequence[str]) -> frozenset[str]:
        """Parameters that are held still because they oscillated."""
        return frozenset(name for name in names if self._stability.still(RANKER, name))

    def rows(self) -> list[Change]:
        """Steps and edits, oldest first."""
        return self.ledger.rows(kinds=CHANGES)

    def get(self, change_id: str) -> tuple[Change, list[Change]]:
        """A change, by its id or the end of it, and what became of it.

        Raises:
            ChangeUnknown: there is none, or there are several.
        """
        change = self.ledger.get(change_id)
        return change, self.ledger.rows(kinds=("state",), target=change.id)

    # --- writing ----------------------------------------------------------------------------------

    def episodes(self, entries: Sequence[Mapping[str, Any]]) -> int:
        """Write the steps of episodes that are not written yet; returns how many steps there were."""
        known = {change.cause for change in self.ledger.rows(kinds=("parameter",), target=RANKER)}
        written = 0
        for entry in entries:
            if entry["hash"] not in known:
                with self.store.writing():
                    for number, trial in enumerate(entry["trials"]):
                        self._step(entry, number, trial)
                        written += 1
        if written:
            self.prompts.reload()
        return written

    def _step(self, entry: Mapping[str, Any], number: int, trial: Mapping[str, Any]) -> None:
        before = self.prompts.in_force(RANKER)
        after = with_parameters(before, Parameters(trial["params"]))
        moved = {name: tuple(pair) for name, pair in trial["moved"].items()}
        what = {
            "content": ", ".join(f"{name} {old:.4g} → {new:.4g}" for name, (old, new) in moved.items()),
            "rationale": {name: entry["proposed_changes"].get(name, ["", "", ""])[2] for name in moved},
        }
        evidence: Evidence = {
            **change_evidence(
                after,
                key=", ".join(moved),
                what=what,
                signs={name: 1 if new > old else -1 for name, (old, new) in moved.items()},
                critique=entry["diagnosis"],
                error_type="low_quality",
            ),
            "episode": entry["episode"],
            "trial": number,
            "cases": [failure["case"] for failure in entry["failures"]],
            "confidence": entry["confidence"],
        }
        share = max(
            (abs(_unit(name, new) - _unit(name, old)) for name, (old, new) in moved.items()), default=0.0
        )
        paired: Pairs = {
            "gain": trial["gain"],
            "error": trial["error"],
            "won": trial["won"],
            "lost": trial["lost"],
        }
        self._decided(
            ("parameter", RANKER),
            (before, after),
            cause=entry["hash"],
            actor=entry["mind"],
            evidence=evidence,
            figures={"share": round(share, 4), "ndcg": trial["ndcg"], "paired": paired},
            refused="" if trial["kept"] else trial.get("why") or "no gain beyond the noise",
        )

    def adopt(self, parameters: Parameters, *, cause: str, actor: str, evidence: Evidence) -> None:
        """Write the best parameters that an outer run has met so far, once; equal ones write nothing."""
        with self.store.writing():
            rows = self.ledger.rows(kinds=("parameter",), target=RANKER)
            before = self.prompts.in_force(RANKER)
            after = with_parameters(before, parameters)
            # A run that is gone on with meets its steps again, those that changed nothing among them.
            least = float(evidence.get("ndcg", math.inf))
            if any(
                change.cause == cause or float(change.evidence.get("ndcg", -math.inf)) >= least
                for change in rows
            ):
                return
            if after.content_hash == before.content_hash:
                return
            old, new = parameters_of(before), parameters
            moved = [name for name in PARAMETERS if old[name] != new[name]]
            told = ", ".join(f"{name} {old[name]:.4g} → {new[name]:.4g}" for name in moved)
            facts = change_evidence(after, key=", ".join(moved), what={"content": told})
            self._decided(
                ("parameter", RANKER),
                (before, after),
                cause=cause,
                actor=actor,
                evidence={**facts, **evidence},
                figures={},
                refused="",
            )
        self.prompts.reload()

    def edit(self, parent: Promptgram, child: Promptgram, edit: "MeasuredEdit") -> None:
        """Write an edit of the tuner's prompt, once; it comes into force when it is the best so far."""
        with self.store.writing():
            rows = self.ledger.rows(kinds=("prompt",), target=TUNER)
            if any(change.cause == edit.cause for change in rows):
                return
            edits = edit.answer["edits"]
            told = "; ".join(f"{e['edit_type']} {e['section']}: {e['content'] or e['target']}" for e in edits)
            self._decided(
                ("prompt", TUNER),
                (parent, child),
                cause=edit.cause,
                actor=edit.actor,
                evidence={
                    **change_evidence(
                        child,
                        key=edits[0]["section"],
                        what={"content": told},
                        critique=edit.answer["hypothesis"],
                    ),
                    "prompts": list(edit.prompts),
                },
                figures={
                    "share": round(token_distance(parent, child), 4),
                    "paired": {"gain": edit.gain, "error": edit.error},
                },
                refused="" if edit.best else f"{edit.gain:+.4f} against its parent, not the best so far",
            )
        self.prompts.reload()

    def _decided(
        self,
        of: tuple[str, str],
        change: tuple[Promptgram, Promptgram],
        *,
        cause: str,
        actor: str,
        evidence: Evidence,
        figures: Figures,
        refused: str,
    ) -> None:
        """A change and what the gate made of it. Nests inside `store.writing()`."""
        target = of[1]
        made = record_measured(
            self.ledger,
            self._gate,
            of,
            change,
            cause=cause,
            actor=actor,
            details={"evidence": evidence, "figures": figures},
            refused=refused,
        )
        if refused:
            return
        for key in evidence.get("signs", {}):
            self._stability.hold_if_oscillating(target, key, limit=self._limit, cause=made.id)

    def revert(self, change_id: str, *, actor: str = "user") -> tuple[str, ...]:
        """Take a change back; returns what was done, in sentences.

        Raises:
            ChangeUnknown, RollbackBlocked: it cannot be taken back, and why.
        """
        return self._rollback.change(change_id, actor=actor).said


def revert(folder: Path, change_id: str) -> list[str]:
    """Take a change of a run back; results.trained.json then holds what is in force.

    Raises:
        TrainingRunUnknown: the run has no ledger.
        ChangeUnknown, RollbackBlocked: it cannot be taken back, and why.
    """
    with open_ledger(folder, new=False) as ledger:
        said = list(ledger.revert(change_id))
        trained = folder / "results.trained.json"
        if trained.is_file():
            write_trained(folder, "a change was taken back", ledger.parameters)
            said.append(f"{trained} holds what is in force; --resume scores it anew")
    return said


def _unit(name: str, value: float) -> float:
    return PARAMETERS[name].to_unit(value)


@contextmanager
def open_ledger(
    folder: Path, *, tuner: Promptgram | None = None, clock: Clock | None = None, new: bool = True
) -> Iterator[RunLedger]:
    """The ledger of a run's folder; what the run began with is written beside it once.

    Args:
        folder: the run's.
        tuner: the promptgram that steers L1; None is the shipped one.
        clock: time.
        new: whether it may be made; otherwise it must be there.

    Raises:
        TrainingRunUnknown, TrainingRunUnchanged: it is not there and may not be made.
        DatabaseDamaged, DatabaseTooNew, MemoryUnwritable: see `MemoryStore`.
    """
    path = folder / ".hal9" / "memory.db"
    if not new and not path.is_file():
        if folder.name in (known := list_runs(folder.parent)):
            raise TrainingRunUnchanged(run=folder.name, folder=str(folder.parent))
        raise TrainingRunUnknown(run=folder.name, folder=str(folder.parent), known=tuple(known))
    path.parent.mkdir(parents=True, exist_ok=True)
    _written(folder / "config" / "hal9.yaml", _SETTINGS)
    shipped = {RANKER: shipped_promptgram("l0-ranker"), TUNER: tuner or shipped_promptgram("l1-ranker-tuner")}
    files = {}
    for name, gram in shipped.items():
        place = folder / "neurons" / f"{name}.md"
        _written(place, gram.dump())
        files[name] = Promptgram.load(place)
    with MemoryStore(path, clock=clock) as store:
        yield RunLedger(store, files)


def _written(path: Path, text: str) -> None:
    """Write a file that is not there yet; a killed run leaves none that is half."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
