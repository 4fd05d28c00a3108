import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hal9.holograph
from hal9.errors.holograph import NoOutcome, UnknownVariable
from hal9.errors.minds import MindUnreachable
from hal9.holograph import Drawn, DrawnEdge, causes, dot, svg
from hal9.minds import Request, ScriptedMind


def journal(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Long prompts cause timeouts, timeouts and the shell cause failures; the layer and the weekday do not."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        tool = str(rng.choice(["shell", "editor", "tests"]))
        tokens = float(rng.gamma(3.0, 400.0))
        late = bool(rng.random() < (0.7 if tokens > 1600 else 0.08))
        failed = bool(rng.random() < 0.05 + 0.55 * late + 0.35 * (tool == "shell"))
        found.append(
            {
                "tool": tool,
                "prompt_tokens": tokens,
                "timeout": late,
                "weekday": int(rng.integers(7)),
                "layer": str(rng.choice(["L2", "L3"])),
                "version": "same",
                "failed": failed,
            }
        )
    return found


def test_the_causes_of_failure_are_found_with_their_uncertainty() -> None:
    found = asyncio.run(causes(journal(600), outcomes=("failed",), resamples=20))
    direct = {edge.cause: edge for edge in found.of("failed")}
    assert {"timeout", "tool=shell"} <= set(direct)
    assert not {"weekday", "layer=L2", "layer=L3"} & set(direct)
    assert direct["timeout"].probability > 0.9
    assert direct["timeout"].effect_size > 0.2
    assert all(edge.cause != "failed" for edge in found.edges)
    assert found.left_out["version"].startswith("has no value that is frequent")
    picture = ET.fromstring(found.svg())
    assert "failed" in "".join(picture.itertext())


def test_a_mind_is_asked_within_its_budget_and_never_about_causes_from_outcomes() -> None:
    asked: list[str] = []

    def script(request: Request) -> dict[str, Any]:
        asked.append(request.messages[-1].content)
        assert request.schema is not None
        kinds = request.schema["properties"]
        return {
            "confidence": 0.2,
            "verdict": "unknown",
            **{k: [] for k in ("names",) if k in kinds},
            **{k: "unclear" for k in ("effect",) if k in kinds},
        }

    mind = ScriptedMind(script)
    found = asyncio.run(causes(journal(300), outcomes=("failed",), mind=mind, budget_queries=6, resamples=4))
    assert len(asked) == 6
    assert all(edge.cause != "failed" for edge in found.edges)


def test_answers_of_a_call_that_broke_off_are_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def script(request: Request) -> Any:
        asked.append(request.messages[-1].content)
        if len(asked) == 4:
            return MindUnreachable(mind="doctor", detail="gone")
        assert request.schema is not None
        kinds = request.schema["properties"]
        extra = {"names": [], "effect": "unclear"}
        return {"confidence": 0.2, "verdict": "unknown", **{k: v for k, v in extra.items() if k in kinds}}

    async def once() -> None:
        mind = ScriptedMind(script, name="doctor")
        kept = tmp_path / "answers.db"
        await causes(
            journal(300), outcomes=("failed",), mind=mind, answers=kept, budget_queries=6, resamples=2
        )

    with pytest.raises(MindUnreachable):
        asyncio.run(once())
    asyncio.run(once())
    assert len(asked) == 4 + 3
    assert asked[3] == asked[4]
    assert len(set(asked)) == 6
    asyncio.run(once())
    assert len(asked) == 7


def test_rows_that_can_say_nothing_are_refused_with_the_reason() -> None:
    with pytest.raises(NoOutcome, match="5 cases"):
        asyncio.run(causes(journal(5), outcomes=("failed",)))
    always = [{**row, "failed": True} for row in journal(40)]
    with pytest.raises(NoOutcome, match="same in every case"):
        asyncio.run(causes(always, outcomes=("failed",)))
    with pytest.raises(UnknownVariable, match="Did you mean 'failed'"):
        asyncio.run(causes(journal(40), outcomes=("fail",)))


def test_drawings_hold_every_edge_and_escape_names() -> None:
    drawn = Drawn(
        ('a"<b', "c", "d", "alone"),
        [
            DrawnEdge('a"<b', "c", 0.9, label="+0.50"),
            DrawnEdge("c", "d", 0.6),
            DrawnEdge('a"<b', "d", 0.7, kind="<->"),
        ],
        {"hidden": ("c", "d")},
        title="a & b",
    )
    picture = ET.fromstring(svg(drawn))
    paths = [e for e in picture.iter() if e.tag.endswith("path") and e.get("marker-end")]
    assert len(paths) == 5
    assert sum(e.get("marker-start") is not None for e in paths) == 1
    source = dot(drawn)
    assert '"a\\"<b" -> "c" [label="+0.50 (0.90)"' in source
    assert "dir=both" in source
    assert '"hidden" -> "d"' in source


def test_a_hidden_cause_beside_a_direct_one_is_drawn_beside_it() -> None:
    edges = [DrawnEdge("a", "b", 0.9), DrawnEdge("a", "b", 0.7, kind="<->")]
    picture = ET.fromstring(svg(Drawn(("a", "b"), edges)))
    arrow, bow = (e.attrib["d"] for e in picture.iter() if e.tag.endswith("path") and e.get("marker-end"))
    middles = [float(d.partition("Q")[2].split()[0]) for d in (arrow, bow)]
    assert abs(middles[0] - middles[1]) > 60


def test_a_crowded_drawing_shows_everything_inside_its_frame() -> None:
    names = [f"variable{k}" for k in range(7)]
    edges = [DrawnEdge(a, b, 0.9, label="+0.50") for k, a in enumerate(names) for b in names[k + 1 :]]
    picture = ET.fromstring(svg(Drawn(names, edges, title="crowded")))
    left, top, wide, high = (float(v) for v in picture.attrib["viewBox"].split())
    boxes = [e for e in picture.iter() if (e.tag.endswith("rect") and e.get("fill-opacity")) or e.get("rx")]
    frames = [tuple(float(e.get(key, 0)) for key in ("x", "y", "width", "height")) for e in boxes]
    assert len(frames) == len(edges) + len(names)
    for x, y, w, h in frames:
        assert left <= x and x + w <= left + wide
        assert top <= y and y + h <= top + high
    pairs = [(a, b) for k, a in enumerate(frames) for b in frames[k + 1 :]]
    hidden = [
        (a, b)
        for a, b in pairs
        if min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) > 0.5 * min(a[2], b[2])
        and min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) > 0.5 * min(a[3], b[3])
    ]
    assert len(hidden) <= 2


def test_the_public_face_is_complete() -> None:
    for name in hal9.holograph.__all__:
        assert getattr(hal9.holograph, name) is not None
    with pytest.raises(AttributeError):
        _ = hal9.holograph.nothing
