"""Gradients along the path: shares, decay, depth; forged, stale and repeated ones."""

import json
import sqlite3
from typing import Any

import pytest

from hal9.clock import ManualClock
from hal9.learning import Canary, LearningEngine, TaskPath, derive_id, parse_feedback
from hal9.memory import MemoryStore, PatternStore
from hal9.promptgram import Edit, Promptgram
from hal9.settings import BackwardPropagationSettings, Settings
from hal9.signals import ErrorGradient, Signal
from tests.learning.conftest import make_engine
from tests.learning.world import finished, step, straight


def written(store: MemoryStore) -> str:
    """All that stands in the file."""
    assert isinstance(store.connection, sqlite3.Connection)
    return "\n".join(store.connection.iterdump())


def gradient_of(signal: Signal) -> ErrorGradient:
    assert isinstance(signal.payload, ErrorGradient)
    return signal.payload


async def flow(engine: LearningEngine, signals: list[Signal], path: TaskPath | None) -> list[Signal]:
    """Deliver signals and everything they cause; returns all of them in order."""
    seen = []
    waiting = list(signals)
    while waiting:
        signal = waiting.pop(0)
        seen.append(signal)
        waiting += await engine.on_gradient(signal, gradient_of(signal), recorded=path)
    return seen


def states(store: MemoryStore) -> list[tuple[str, str]]:
    rows = store.connection.execute("SELECT target, state FROM gradients ORDER BY rowid")
    return [(row["target"], row["state"]) for row in rows]


async def test_the_error_climbs_the_layers_and_fades(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    task = finished()
    steps = straight(task, files)
    path = TaskPath.recorded(steps)
    seen = await flow(engine, await engine.examine(task, steps), path)
    assert [signal.target for signal in seen] == ["l2-craftsman", "l3-designer", "l4-strategist"]
    assert [signal.direction for signal in seen] == ["backward"] * 3
    assert [round(gradient_of(signal).magnitude, 3) for signal in seen] == [0.7, 0.63, 0.567]
    assert [(signal.layer_from, signal.layer_to) for signal in seen] == [(0, 2), (2, 3), (3, 4)]
    assert len({gradient_of(signal).critique for signal in seen}) == 3
    assert all("2026-4-3" in gradient_of(signal).critique for signal in seen)
    assert states(store) == [(name, "applied") for name in ("l2-craftsman", "l3-designer", "l4-strategist")]


def test_fan_in_shares_the_blame_and_adds_up(files: dict[str, Promptgram]) -> None:
    task = finished(reason=None)
    steps = [
        step(task, files["l4-strategist"], 4, "split", to=["l3-designer", "l3-designer"]),
        step(task, files["l3-designer"], 3, "split", to=["l2-craftsman", "l2-implementer"]),
        step(task, files["l3-designer"], 3, "split", to=["l2-craftsman", "l2-craftsman"]),
        step(task, files["l2-craftsman"], 2, "think"),
        step(task, files["l2-implementer"], 2, "think"),
    ]
    path = TaskPath.recorded(steps)
    assert path.origins() == {"l2-craftsman": 0.75, "l2-implementer": 0.25}
    assert path.origins("l2-implementer") == {"l2-implementer": 1.0}
    assert path.upstream("l2-craftsman") == {"l3-designer": 1.0}
    assert path.upstream("l4-strategist") == {}
    assert TaskPath.from_json(json.loads(json.dumps(path.as_json()))).as_json() == path.as_json()
    guilty = [*steps, step(task, files["l2-implementer"], 2, "check", outcome="failed")]
    assert TaskPath.recorded(guilty).origins() == {"l2-implementer": 1.0}


async def test_shares_of_several_givers_add_up(store: MemoryStore, files: dict[str, Promptgram]) -> None:
    files["l3-other"] = Promptgram(id="l3-other", role="You design too.")
    engine = make_engine(store, files)
    task = finished()
    steps = [
        step(task, files["l4-strategist"], 4, "split", to=["l3-designer", "l3-other"]),
        step(task, files["l3-designer"], 3, "pass", to=["l2-craftsman"]),
        step(task, files["l3-other"], 3, "pass", to=["l2-craftsman"]),
        step(task, files["l2-craftsman"], 2, "check", outcome="failed"),
    ]
    seen = await flow(engine, await engine.examine(task, steps), TaskPath.recorded(steps))
    strengths = {(one.source, one.target): round(gradient_of(one).magnitude, 4) for one in seen}
    assert strengths["l2-craftsman", "l3-designer"] == strengths["l2-craftsman", "l3-other"] == 0.315
    assert strengths["l3-designer", "l4-strategist"] == strengths["l3-other", "l4-strategist"] == 0.2835


@pytest.mark.parametrize(("depth", "reached"), [(1, 1), (2, 2), (3, 3), (9, 3)])
async def test_depth_is_limited(
    store: MemoryStore, files: dict[str, Promptgram], depth: int, reached: int
) -> None:
    settings = Settings(backward_propagation=BackwardPropagationSettings(max_gradient_depth=depth))
    engine = make_engine(store, files, lambda: settings)
    task = finished()
    steps = straight(task, files)
    seen = await flow(engine, await engine.examine(task, steps), TaskPath.recorded(steps))
    assert len(seen) == reached


async def test_what_is_too_weak_is_dropped(store: MemoryStore, files: dict[str, Promptgram]) -> None:
    settings = Settings(backward_propagation=BackwardPropagationSettings(min_magnitude=0.65))
    engine = make_engine(store, files, lambda: settings)
    task = finished()
    steps = straight(task, files)
    assert len(await flow(engine, await engine.examine(task, steps), TaskPath.recorded(steps))) == 1


async def test_the_same_gradient_again_changes_nothing_and_sends_the_same(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore, clock: ManualClock
) -> None:
    task = finished()
    steps = straight(task, files)
    path = TaskPath.recorded(steps)
    first = await engine.examine(task, steps)
    onward = await engine.on_gradient(first[0], gradient_of(first[0]), recorded=path)
    before = written(store)
    clock.advance(5)
    again = await engine.on_gradient(first[0], gradient_of(first[0]), recorded=path)
    assert again == onward
    assert written(store) == before
    assert [one.id for one in await engine.examine(task, steps)] == [one.id for one in first]


async def test_the_order_of_arrival_does_not_matter(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    tasks = [finished(now=1_700_000_000.0 + number) for number in range(3)]
    paths, signals = {}, []
    for task in tasks:
        steps = straight(task, files)
        paths[task.id] = TaskPath.recorded(steps)
        signals += await engine.examine(task, steps)
    onward = []
    for signal in reversed(signals):
        onward += await engine.on_gradient(signal, gradient_of(signal), recorded=paths[signal.task_id])
    for signal in reversed(onward):
        await engine.on_gradient(signal, gradient_of(signal), recorded=paths[signal.task_id])
    assert {state for _, state in states(store)} == {"applied"}
    patterns = PatternStore(store).all()
    assert [(one.occurrences, one.error_type) for one in patterns] == [(3, "incorrect_output")]


def tampered(signal: Signal, **changes: Any) -> Signal:
    return signal.model_copy(update={"payload": gradient_of(signal).model_copy(update=changes)})


async def test_forged_gradients_are_refused_and_kept_for_inspection(
    store: MemoryStore, files: dict[str, Promptgram]
) -> None:
    alerts: list[str] = []
    engine = make_engine(store, files, alerts=alerts)
    task = finished()
    steps = straight(task, files)
    path = TaskPath.recorded(steps)
    (signal,) = await engine.examine(task, steps)
    factors = gradient_of(signal).context.environmental_factors
    other = {**factors, "path": {"hops": {"l2-craftsman": [2, 1, "x"]}, "edges": []}}
    context = gradient_of(signal).context
    forged = [
        tampered(signal, source_neuron="l3-designer"),
        tampered(signal, target_neuron="l4-strategist"),
        tampered(signal, depth=1),
        tampered(signal, depth=7),
        tampered(signal, promptgram_hash="0" * 64),
        tampered(signal, context=context.model_copy(update={"environmental_factors": other})),
        tampered(signal, context=context.model_copy(update={"environmental_factors": {}})),
        tampered(signal, context=context.model_copy(update={"environmental_factors": {"path": 3}})),
        signal.model_copy(
            update={
                "target": "l2-implementer",
                "payload": gradient_of(signal).model_copy(update={"target_neuron": "l2-implementer"}),
            }
        ),
        signal.model_copy(
            update={
                "source": "l2-implementer",
                "payload": gradient_of(signal).model_copy(update={"source_neuron": "l2-implementer"}),
            }
        ),
    ]
    for number, one in enumerate(forged):
        fresh = one.model_copy(update={"id": derive_id(signal.id, str(number))})
        assert await engine.on_gradient(fresh, gradient_of(fresh), recorded=path) == []
    assert {state for _, state in states(store)} == {"refused"}
    assert len(alerts) == len(forged)
    assert store.count() == 0
    # A task this journal knows nothing of gives no path to compare with; a known one must fit.
    unknown = TaskPath.recorded([])
    fresh = signal.model_copy(update={"id": derive_id(signal.id, "unknown")})
    assert await engine.on_gradient(fresh, gradient_of(fresh), recorded=unknown) == []


async def test_a_gradient_about_an_older_prompt_is_remembered_but_adjusts_nothing(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    task = finished()
    steps = straight(task, files)
    path = TaskPath.recorded(steps)
    signals = await engine.examine(task, steps)
    changed = files["l2-craftsman"].apply(Edit("Style", "append", content="- Be brief."))
    with store.writing():
        engine.prompts.write_current("l2-craftsman", changed)
    engine.prompts.reload()
    await flow(engine, signals, path)
    assert states(store) == [
        ("l2-craftsman", "stale"),
        ("l3-designer", "applied"),
        ("l4-strategist", "applied"),
    ]
    assert store.count() == 3
    assert engine.prompts.current("l2-craftsman") == changed


async def test_a_canary_that_began_meanwhile_makes_no_gradient_stale(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    """Neither for the tasks that were done before it, nor for those that got the candidate."""
    candidate = files["l3-designer"].apply(Edit("Style", "append", content="- Test it."))
    with store.writing():
        engine.prompts.write_canary("l3-designer", Canary("c", candidate, 0.5))
    engine.prompts.reload()
    for number in range(6):
        task = finished(now=1_700_000_000.0 + number)
        shown = dict(files) if number % 2 else {**files, "l3-designer": candidate}
        steps = straight(task, shown)
        await flow(engine, await engine.examine(task, steps), TaskPath.recorded(steps))
    assert {state for _, state in states(store)} == {"applied"}


async def test_paused_learning_learns_nothing(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    task = finished()
    steps = straight(task, files)
    signals = await engine.examine(task, steps)
    with store.writing():
        engine.applier.key_values.put("paused", True)
    await flow(engine, signals, TaskPath.recorded(steps))
    assert {state for _, state in states(store)} == {"skipped"}
    assert store.count() == 0
    assert await engine.examine(finished(now=1_700_000_009.0), steps) == []
    report = await engine.take_feedback(
        parse_feedback({"verdict": "reject", "why": "no"}), task, steps, cause="f"
    )
    assert report.signals == ()
    assert "paused" in report.said[0]


async def test_a_task_counts_once_towards_a_pattern(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    task = finished()
    steps = straight(task, files)
    path = TaskPath.recorded(steps)
    for number in range(4):
        report = await engine.take_feedback(
            parse_feedback({"verdict": "reject", "why": "dates are wrong"}), task, steps, cause=f"f{number}"
        )
        await flow(engine, list(report.signals), path)
    assert PatternStore(store).all() == []
    assert store.connection.execute("SELECT count(*) FROM occurrences").fetchone()[0] == 1


def test_derived_ids_look_like_ours_and_never_collide() -> None:
    from uuid import UUID

    base = "01a1f96c-e90b-7155-b8ed-2d3fcf144a64"
    made = {derive_id(base, str(number)) for number in range(2000)}
    assert len(made) == 2000
    assert all(UUID(one).version == 7 for one in made)
    assert derive_id(base, "x") == derive_id(base, "x") != derive_id(base, "x", "")
