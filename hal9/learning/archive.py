"""Learned state as one text file: sorted JSON that diffs well, hashed and signed.

The signature is an HMAC-SHA256 over the content with a key of the home's own. A bare hash chain could be
recomputed by whoever changes the file; a MAC cannot, and unlike a public-key signature it needs nothing but
the standard library. Whoever has the key can check an archive; without it an archive is merely foreign.
Either way an import trusts nothing: rules become candidates with counters at zero, prompts become changes
that wait for approval.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal9.errors.base import PromptgramError
from hal9.errors.learning import ArchiveInvalid
from hal9.errors.memory import MemoryInvalid
from hal9.learning.engine import LearningEngine
from hal9.learning.reporting.explain import change_as_json
from hal9.learning.routing.restore import weights_document
from hal9.learning.state.change_facts import change_evidence
from hal9.learning.state.ledger import Change, Ledger
from hal9.learning.state.prompts import PromptStore
from hal9.memory import (
    MemoryScope,
    MemoryStore,
    NewRule,
    PatternStore,
    RuleStore,
    SolvedExample,
)
from hal9.promptgram import Promptgram, token_distance

__all__ = ["ArchiveReport", "export_archive", "home_key", "import_archive"]

FORMAT = "hal9-learned-state-1"
_MOST_BYTES = 64 * 1024 * 1024
_KEY_BYTES = 32
_MOST_RULES = 10_000


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What an import did."""

    said: tuple[str, ...]
    rules: tuple[int, ...]
    change: str


def home_key(path: Path, *, create: bool = False) -> bytes | None:
    """The home's signing key; made on demand, readable by its owner only."""
    if path.is_file():
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    if not create:
        return None
    key = secrets.token_bytes(_KEY_BYTES)
    path.touch(mode=0o600)
    path.write_text(key.hex() + "\n", encoding="ascii")
    return key


def export_archive(store: MemoryStore, prompts: PromptStore, key: bytes) -> str:
    """Everything learned, as text: equal states give equal bytes.

    Raises:
        LedgerBroken: the ledger's chain does not hold; nothing is exported.
    """
    ledger = Ledger(store)
    ledger.verify()
    book = RuleStore(store)
    content: dict[str, Any] = {
        "format": FORMAT,
        "prompts": {name: prompts.in_force(name).dump().split("\n") for name in sorted(prompts.files)},
        "mitigations": [
            {
                "rule": one.rule,
                "example": None if one.example is None else [one.example.task, one.example.answer],
                "scope": one.scope.parts(),
                "source": one.source,
                "state": one.state,
                "record": [one.tried, one.helped, one.failed, one.hurt],
                "hash": one.content_hash,
            }
            for one in sorted(book.all(), key=lambda one: one.content_hash)
        ],
        "patterns": [
            {
                "signature": one.signature,
                "error_type": one.error_type,
                "scope": one.scope.label(),
                "occurrences": one.occurrences,
                "prevention": one.prevention_strategy,
            }
            for one in sorted(PatternStore(store).all(), key=lambda one: one.id)
        ],
        "weights": weights_document(store),
        "ledger": [change_as_json(change) for change in ledger.rows()],
    }
    signed = {**content, "signature": _signature(content, key), "hash": _hash(content)}
    return json.dumps(signed, sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def import_archive(
    engine: LearningEngine, text: str, *, file: str = "archive", key: bytes | None = None
) -> ArchiveReport:
    """Take an archive in as candidates: nothing in it comes into force by being imported.

    Args:
        engine: the cluster's learning.
        text: the archive.
        file: its name, for messages and provenance.
        key: the key of the home that made it, when its signature is to be checked.

    Raises:
        ArchiveInvalid: it is no archive, it was changed, or its signature is wrong; nothing was imported.
    """
    content = _checked(text, file, key)
    origin = f"archive:{content['hash'][:12]}"
    said = ["signature checked" if key is not None else "signature not checked: no key was given"]
    added: list[int] = []
    with engine.store.writing():
        book = RuleStore(engine.store)
        before = {one.id for one in book.all()}
        for entry in content["mitigations"]:
            number = book.propose(_rule(entry, origin, file))
            if number not in before:
                before.add(number)
                added.append(number)
        said.append(f"{len(added)} rules added as candidates")
        for name, lines in sorted(content["prompts"].items()):
            said += _prompt(engine, name, "\n".join(lines), origin)
        row = record_import(Ledger(engine.store), file, added, cause=origin)
    said.append(f"hal9 rollback {row.id[-12:]} takes it out again")
    return ArchiveReport(tuple(said), tuple(added), row.id)


def record_import(ledger: Ledger, name: str, added: Sequence[int], *, cause: str) -> Change:
    """Note which rules came in from outside, so that they can be taken out again; nests."""
    return ledger.record(
        "import",
        name[:200],
        change=("", json.dumps(list(added))),
        cause=cause,
        actor="user",
        details={"figures": {"mitigations": len(added)}},
    )


def _prompt(engine: LearningEngine, name: str, text: str, origin: str) -> list[str]:
    """A foreign prompt: a change that waits for a person, if it keeps to the limits of any other step."""
    if not engine.prompts.knows(name):
        return [f"prompt of {name}: no such neuron here"]
    current = engine.prompts.in_force(name)
    try:
        foreign = Promptgram.parse(text, source=f"archive: {name}")
        sections = {section: foreign.items(section) for section in ("Policy", "Heuristics", "Style")}
    except PromptgramError as error:
        return [f"prompt of {name}: {error}"]
    if foreign.content_hash == current.content_hash:
        return []
    if foreign.id != current.id or foreign.role != current.role or foreign.meta != current.meta:
        return [f"prompt of {name}: differs in parts that never change by import"]
    made = Promptgram(
        id=current.id,
        role=current.role,
        version=current.version + 1,
        parent=current.content_hash,
        meta=current.meta,
        policy=sections["Policy"],
        heuristics=sections["Heuristics"],
        style=sections["Style"],
    )
    share = token_distance(current, made)
    limit = engine.settings.safety.of(name).max_adjustment
    if share > limit:
        return [f"prompt of {name}: differs by {share:.0%}, one step may change {limit:.0%}"]
    change = engine.gate.ledger.record(
        "prompt",
        name,
        change=(current.dump(), made.dump()),
        cause=origin,
        actor="import",
        state="waiting",
        details={
            "evidence": change_evidence(made, key="import", what={}),
            "figures": {"share": round(share, 4)},
        },
    )
    return [f"prompt of {name}: change {change.id} waits for approval"]


def _rule(entry: dict[str, Any], origin: str, file: str) -> NewRule:
    try:
        example = entry["example"]
        return NewRule(
            rule=str(entry["rule"]),
            scope=MemoryScope.of(entry["scope"]),
            source="pack",
            trusted_by=origin,
            example=None if example is None else SolvedExample(str(example[0]), str(example[1])),
            provenance={"archive": origin, "file": file[:200]},
        )
    except (KeyError, TypeError, IndexError, MemoryInvalid) as error:
        raise ArchiveInvalid(file=file, problem=f"a rule cannot be read ({error})") from error


def _checked(text: str, file: str, key: bytes | None) -> dict[str, Any]:
    if len(text) > _MOST_BYTES:
        raise ArchiveInvalid(file=file, problem=f"it is larger than {_MOST_BYTES} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchiveInvalid(file=file, problem=f"it is no JSON ({error})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ArchiveInvalid(file=file, problem=f"it is not of format {FORMAT}")
    content = {name: part for name, part in value.items() if name not in ("signature", "hash")}
    if not hmac.compare_digest(str(value.get("hash")), _hash(content)):
        raise ArchiveInvalid(
            file=file, problem="its hash does not fit its content; it was changed or damaged"
        )
    if key is not None and not hmac.compare_digest(str(value.get("signature")), _signature(content, key)):
        raise ArchiveInvalid(file=file, problem="its signature was not made with this key")
    if not isinstance(content.get("mitigations"), list) or not isinstance(content.get("prompts"), dict):
        raise ArchiveInvalid(file=file, problem="it lacks rules (mitigations) or prompts")
    if len(content["mitigations"]) > _MOST_RULES:
        raise ArchiveInvalid(file=file, problem=f"it holds more than {_MOST_RULES} rules")
    lines = content["prompts"].values()
    if not all(isinstance(one, list) and all(isinstance(line, str) for line in one) for one in lines):
        raise ArchiveInvalid(file=file, problem="a prompt is not a list of lines")
    return {**content, "hash": str(value["hash"])}


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _signature(content: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, _canonical(content), hashlib.sha256).hexdigest()
