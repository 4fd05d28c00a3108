"""Every step and edit stands in a ledger, is explained by it, and can be taken back; also after a crash."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hal9.errors.learning import ChangeUnknown, RollbackBlocked
from hal9.learning import KeyValueStore
from hal9.promptgram import Edit, Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.evaluator import Gain
from hal9.trainer.inner.loop import InnerLoop, InnerResult, InnerSettings
from hal9.trainer.outer.population import FIXED, run_population
from hal9.trainer.outer.stack import OuterSettings, run_stack
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.changes import (
    RANKER,
    TUNER,
    MeasuredEdit,
    RunLedger,
    open_ledger,
    parameters_of,
    revert,
    verdict,
    with_parameters,
)
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from hal9.trainer.reporting.views import ledger_lines, why_lines
from tests.trainer.support import OUTER, inner_mind, outer_mind
from tests.trainer.test_outer import one_each, workshop

GOOD = {"weight_tests": ["increase", "large", "tests tell"]}
BAD = {"weight_pairs": ["increase", "large", "pairs"]}


@contextmanager
def begun(folder: Path) -> Iterator[tuple[RunLog, RunLedger]]:
    path = folder / "scratchpad.json"
    pad = RunLog.load(path) if path.is_file() else RunLog.create(path, "inner", {})
    with open_ledger(folder) as ledger:
        yield pad, ledger


async def train(
    ground: EvaluationData,
    pad: RunLog,
    ledger: RunLedger | None,
    *proposals: dict[str, list[str]],
    episodes: int,
) -> InnerResult:
    settings = InnerSettings(episodes=episodes, repairs=0, tunable=100, probes=0, noise=0.5)
    async with inner_mind(*proposals) as mind:
        gram = shipped_promptgram("l1-ranker-tuner")
        loop = InnerLoop(mind, gram, ground.train, ground.space, pad, settings, ledger=ledger)
        return await loop.run()


async def test_kept_and_rejected_steps_are_changes_with_cause_evidence_and_figures(
    ground: EvaluationData, tmp_path: Path
) -> None:
    with begun(tmp_path) as (pad, ledger):
        done = await train(ground, pad, ledger, GOOD, BAD, episodes=2)
        kept, lost = ledger.rows()
        assert [kept.state, lost.state] == ["applied", "rejected"]
        assert (kept.kind, kept.target, kept.actor) == ("parameter", RANKER, "scripted-l1")
        assert kept.cause == pad.entries[0]["hash"]
        assert kept.figures["paired"]["gain"] == pad.entries[0]["trials"][0]["gain"]
        assert kept.evidence["signs"] == {"weight_tests": 1}
        assert kept.evidence["cases"] == [failure["case"] for failure in pad.entries[0]["failures"]]
        assert parameters_of(Promptgram.parse(kept.before)) == Parameters()
        assert parameters_of(Promptgram.parse(kept.after)) == done.best == ledger.parameters
        assert ledger.ledger.verify() > 4
        shown = ledger_lines(ledger.rows())
        assert "weight_tests 0.7 → 1.75" in shown[0]
        told = "\n".join(why_lines(*ledger.get(lost.id[-12:])))
        assert "candidate -> rejected by gate: no gain beyond the noise" in told
        assert "the path misleads" in told


async def test_a_step_taken_back_is_out_of_force_for_the_run_that_goes_on(
    ground: EvaluationData, tmp_path: Path
) -> None:
    with begun(tmp_path) as (pad, ledger):
        await train(ground, pad, ledger, GOOD, episodes=1)
        change = ledger.rows()[0]
    (tmp_path / "results.trained.json").write_text("{}")
    said = revert(tmp_path, change.id[-12:])
    assert "back to version 1" in said[0]
    trained = json.loads((tmp_path / "results.trained.json").read_text())["parameters"]
    assert Parameters(trained) == Parameters()
    with begun(tmp_path) as (pad, ledger):
        assert ledger.rows()[0].state == "rolled_back"
        done = await train(ground, pad, ledger, BAD, episodes=2)
        assert done.best == Parameters()
        assert pad.entries[1]["ndcg_before"] == pad.entries[0]["ndcg_before"]
    with pytest.raises(RollbackBlocked):
        revert(tmp_path, change.id)
    with pytest.raises(ChangeUnknown):
        revert(tmp_path, "0" * 12)


async def test_an_earlier_step_is_taken_back_and_later_ones_stay(
    ground: EvaluationData, tmp_path: Path
) -> None:
    with begun(tmp_path) as (pad, ledger):
        await train(ground, pad, ledger, GOOD, episodes=1)
        first = ledger.rows()[0]
        entry = json.loads(json.dumps(pad.entries[0]))
        moved = Parameters({**pad.entries[0]["params"], "role_test": 0.5})
        trial = {**entry["trials"][0], "params": moved.changes(), "moved": {"role_test": [0.9, 0.5]}}
        ledger.episodes([{**entry, "hash": "later", "trials": [trial]}])
        assert ledger.parameters == moved
        ledger.revert(first.id)
        assert ledger.parameters.changes() == {"role_test": 0.5}


async def test_steps_are_written_once_also_when_the_run_was_killed_before_they_were(
    ground: EvaluationData, tmp_path: Path
) -> None:
    path = tmp_path / "scratchpad.json"
    pad = RunLog.create(path, "inner", {})
    without = await train(ground, pad, None, GOOD, BAD, episodes=2)
    with begun(tmp_path) as (again, ledger):
        done = await train(ground, again, ledger, GOOD, BAD, episodes=2)
        assert done.best == without.best == ledger.parameters
        assert len(ledger.rows()) == 2
        assert ledger.episodes(again.entries) == 0


async def test_what_oscillates_is_held_still_and_told(ground: EvaluationData, tmp_path: Path) -> None:
    with begun(tmp_path) as (pad, ledger):
        await train(ground, pad, ledger, GOOD, episodes=1)
        entry = pad.entries[0]
        up, down = dict(entry["trials"][0]), dict(entry["trials"][0])
        down |= {"params": {}, "moved": {"weight_tests": [1.75, 0.7]}}
        for number, trial in enumerate((down, up, down)):
            ledger.episodes([{**entry, "hash": f"again-{number}", "trials": [trial]}])
        assert ledger.still(["weight_tests", "weight_words"]) == {"weight_tests"}
        await train(ground, pad, ledger, GOOD, episodes=2)
        assert any("held still because it oscillated" in problem for problem in pad.entries[1]["problems"])
        assert pad.entries[1]["trials"] == []


async def test_a_paused_or_frozen_run_stops_and_goes_on(ground: EvaluationData, tmp_path: Path) -> None:
    with begun(tmp_path) as (pad, ledger):
        for name in ("paused", f"frozen:{RANKER}"):
            KeyValueStore(ledger.store).put(name, True)
            done = await train(ground, pad, ledger, GOOD, episodes=1)
            assert (done.reason, done.episodes) == ("paused", 0)
            KeyValueStore(ledger.store).put(name, None)
        assert (await train(ground, pad, ledger, GOOD, episodes=1)).episodes == 1


def test_an_edit_of_the_tuners_prompt_is_a_change_and_can_be_taken_back(tmp_path: Path) -> None:
    gram = shipped_promptgram(TUNER)
    child = gram.apply(Edit.from_dict(OUTER["edits"][0]))
    made = MeasuredEdit(
        cause="c1",
        actor="l2",
        answer=OUTER,
        prompts=("inner_v001", "inner_v002"),
        gain=0.01,
        error=0.002,
        best=True,
    )
    with open_ledger(tmp_path) as ledger:
        ledger.edit(gram, child, made)
        ledger.edit(gram, child, made)
        (change,) = ledger.rows()
        assert (change.kind, change.target, change.state) == ("prompt", TUNER, "applied")
        assert ledger.prompts.current(TUNER).content_hash == child.content_hash
        ledger.revert(change.id)
        assert ledger.prompts.current(TUNER).dump() == gram.dump()


def test_parameters_stand_in_the_rankers_front_matter_exactly() -> None:
    gram = shipped_promptgram(RANKER)
    wanted = Parameters({"weight_tests": 1.4499999999999997, "query_title": 0.1})
    after = with_parameters(gram, wanted)
    assert parameters_of(Promptgram.parse(after.dump())) == wanted
    assert with_parameters(after, wanted) == after
    assert parameters_of(with_parameters(after, Parameters())) == Parameters()


def test_the_gates_rule_for_pairs_holds_beside_the_noise() -> None:
    assert verdict(Gain(0.02, 0.01, 20, 10), noise=1.0) == ""
    assert "noise" in verdict(Gain(0.02, 0.03, 20, 10), noise=1.0)
    assert "lost more cases" in verdict(Gain(0.02, 0.01, 10, 11), noise=1.0)
    assert "noise" in verdict(Gain(0.0, 0.0, 0, 0), noise=1.0)


def test_the_best_of_many_tries_must_show_more() -> None:
    lucky = Gain(0.025, 0.01, 20, 10)
    assert verdict(lucky, noise=1.0, tried=5) == ""
    assert "noise" in verdict(lucky, noise=1.0, tried=300)
    rng = np.random.default_rng(0)
    runs, tries = 400, 100
    kept = sum(
        any(
            not verdict(Gain(float(z), 1.0, 5, 5), noise=1.0, tried=number)
            for number, z in enumerate(rng.standard_normal(tries), 1)
        )
        for _ in range(runs)
    )
    fixed = sum(any(z > 1.0 for z in rng.standard_normal(tries)) for _ in range(runs))
    assert fixed == runs
    assert kept / runs < 0.5


def test_the_commands_of_the_house_read_a_runs_ledger(tmp_path: Path) -> None:
    gram = shipped_promptgram(TUNER)
    made = MeasuredEdit(
        cause="c1", actor="l2", answer=OUTER, prompts=("a", "b"), gain=0.01, error=0.0, best=True
    )
    with open_ledger(tmp_path) as ledger:
        ledger.edit(gram, gram.apply(Edit.from_dict(OUTER["edits"][0])), made)
    done = subprocess.run(
        [sys.executable, "-m", "hal9", "--home", str(tmp_path), "ledger", "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert [row["kind"] for row in rows] == ["prompt", "prompt_set", "state"]


async def outer_rows(ground: EvaluationData, folder: Path, *, population: bool) -> list[tuple[str, str, str]]:
    """Kind, state and content of every change of an outer run; the run is gone on with once more at the end."""
    seen: list[list[tuple[str, str, str]]] = []
    for _ in range(2):
        path = folder / "run" / "outer_scratchpad.json"
        pad = RunLog.load(path) if path.is_file() else RunLog.create(path, "outer", {})
        with open_ledger(folder / "run") as ledger:
            shop = workshop(ground, folder, outer_mind(one_each))
            shop.ledger = ledger
            if population:
                done = await run_population(shop, pad, OuterSettings(steps=4), policy=FIXED)
            else:
                done = await run_stack(shop, pad, OuterSettings(steps=4, explore=0.0))
            assert ledger.parameters.changes() == done.params
            assert ledger.ledger.verify() > 0
            best = shop.shelf.load(done.best).promptgram
            assert ledger.prompts.current(TUNER).content_hash == best.content_hash
            seen.append(
                [(row.kind, row.state, str(row.evidence["what"]["content"])) for row in ledger.rows()]
            )
    assert seen[0] == seen[1]
    return seen[0]


async def test_edits_and_the_best_parameters_of_an_outer_run_are_changes_in_both_topologies(
    ground: EvaluationData, tmp_path: Path
) -> None:
    rows = await outer_rows(ground, tmp_path / "stack", population=False)
    edits = [row for row in rows if row[0] == "prompt"]
    assert len(edits) >= 3
    # Which of them is best is the ranker's business; what is in force was compared with the best promptgram.
    assert {state for _, state, _ in edits} <= {"applied", "rejected"}
    assert [row[1] for row in rows if row[0] == "parameter"] == ["applied"] * (len(rows) - len(edits))
    fixed = await outer_rows(ground, tmp_path / "population", population=True)
    assert sorted(row for row in fixed if row[0] == "prompt") == sorted(edits)
