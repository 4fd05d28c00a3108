"""A corpus small enough for tests, and scripted minds."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hal9.minds.protocol import Request
from hal9.minds.scripted import ScriptedMind

WORDS = ("parser", "cookie", "socket", "router", "template", "session", "cache", "schema")
PROPOSAL: dict[str, Any] = {
    "strategy_capsule": "words first",
    "diagnosis": "the path misleads",
    "param_interactions": ["weight_words and weight_path trade off"],
    "proposed_changes": {"weight_words": ["increase", "medium", "more words"]},
    "structural_insights": ["paths of one word mislead"],
    "confidence": 0.6,
}
OUTER: dict[str, Any] = {
    "mode": "explore",
    "edits": [
        {
            "section": "Heuristics",
            "edit_type": "append",
            "target": "",
            "content": "Raise weight_tests when tests split the sides.",
            "rationale": "it was never touched",
        }
    ],
    "hypothesis": "weight_tests is tried",
    "expected_effects": ["weight_tests is touched"],
    "risk_level": "low",
}


def make_corpus(folder: Path) -> tuple[Path, Path]:
    """Cases in the shared corpus's layout, and their trees; returns both folders."""
    corpus, trees = folder / "shared" / "data" / "localization", folder / "sdists"
    for split, names in (("train", ("alpha", "bravo", "carol", "delta")), ("dev", ("echo",))):
        for number, name in enumerate(names):
            _tree(trees / f"{name}-1.0", number)
            path = corpus / split / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_cases(name)))
    return corpus, trees


def _tree(root: Path, number: int) -> None:
    package = root / "pkg"
    package.mkdir(parents=True)
    for place, word in enumerate(WORDS):
        other = WORDS[(place + 1 + number) % len(WORDS)]
        helpers = "\n".join(f"    {other}_{i} = {other}({i})" for i in range(place % 3))
        (package / f"{word}.py").write_text(
            f'"""Handles every {word}."""\n\nfrom pkg.{other} import {other}_open\n\n\n'
            f"def {word}_open(value, {other}=None):\n{helpers or '    pass'}\n    return {other}_open(value)\n\n\n"
            f"class {word.title()}Error(Exception):\n    pass\n"
        )
        (package / f"{word}_{other}.py").write_text(
            f"from pkg.{word} import {word}_open\n\n\n"
            f"def join_{word}_{other}(a, b):\n    '''{word} {word} {other}'''\n    return {word}_open(a), b\n"
        )
    tests = root / "tests"
    tests.mkdir()
    for word in WORDS:
        (tests / f"test_{word}.py").write_text(
            f"from pkg.{word} import {word}_open\n\n\ndef test_{word}_open():\n    assert {word}_open(1)\n"
        )


def _cases(name: str) -> list[dict[str, Any]]:
    cases = []
    for place, word in enumerate(WORDS):
        other = WORDS[(place + 3) % len(WORDS)]
        gold = f"pkg/{word}.py" if place % 2 else f"pkg/{other}.py"
        cases.append(
            {
                "repo": f"org/{name}",
                "pypi_name": name,
                "version": "1.0",
                "commit": f"{place:012x}" + "0" * 28,
                "commit_date": f"2024-01-{place + 1:02d}",
                "query": f"join of {word} and {other} fails\n\nThe {word} is opened twice when {other} is empty.",
                "gold_files": [gold],
                "gold_symbols": [],
                "leak": False,
            }
        )
    return cases


def inner_mind(*changes: dict[str, Any]) -> ScriptedMind:
    """An L1 that proposes these changes in turn, for ever."""

    def reply(request: Request) -> Any:
        reply.calls += 1  # type: ignore[attr-defined]
        chosen = changes[(reply.calls - 1) % len(changes)] if changes else PROPOSAL["proposed_changes"]  # type: ignore[attr-defined]
        return {**PROPOSAL, "proposed_changes": chosen}

    reply.calls = 0  # type: ignore[attr-defined]
    return ScriptedMind(reply, name="scripted-l1")


def seeded_mind(names: Sequence[str]) -> ScriptedMind:
    """An L1 whose proposal depends on the request alone: the same question gets the same answer."""

    def reply(request: Request) -> Any:
        offered = list((request.schema or {})["properties"]["proposed_changes"]["properties"])
        seed = (request.seed or 0) + 7 * request.messages[0].content.count("Raise ")
        name = next((n for n in names if n in offered and f"Raise {n}" in request.messages[0].content), None)
        name = name or offered[seed % len(offered)]
        direction = "increase" if seed % 3 else "decrease"
        return {**PROPOSAL, "proposed_changes": {name: [direction, "large", "scripted"]}}

    return ScriptedMind(reply, name="scripted-l1")


def outer_mind(edits: Callable[[int], list[dict[str, Any]]] | None = None) -> ScriptedMind:
    """An L2 whose n-th proposal has `edits(n)`."""
    count = [0]

    def reply(request: Request) -> Any:
        count[0] += 1
        made = edits(count[0] - 1) if edits else OUTER["edits"]
        return {**OUTER, "edits": made}

    return ScriptedMind(reply, name="scripted-l2")
