"""Steps within the noise are gone on from, judged together, and taken back together."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hal9.ripmap.parameters import Parameters
from hal9.trainer.changes import verdict
from hal9.trainer.evaluator import Evaluation, Gain
from hal9.trainer.runs import Ground
from hal9.trainer.scratchpad import Scratchpad
from hal9.trainer.walking import Walk
from tests.trainer.support import inner_mind
from tests.trainer.test_changes import begun, train
from tests.trainer.test_inner import run

CASES = 60
KEPT = ("params", "working", "kept", "best_ndcg")
STEP = {"weight_tests": ["increase", "small", "a little more"]}
START = Parameters({"weight_tests": 0.5})
"""From here, in the small corpus, one small step is within the noise and two together are beyond it."""


def scored(ndcg: NDArray[np.float64]) -> Evaluation:
    return Evaluation(Parameters(), ndcg, (), np.ones(len(ndcg)))


def better(base: Evaluation, won: range, lost: range = range(0)) -> Evaluation:
    ndcg = base.ndcg.copy()
    ndcg[list(won)] += 0.1
    ndcg[list(lost)] -= 0.1
    return scored(ndcg)


def test_several_steps_pass_as_one_comparison_where_each_alone_does_not() -> None:
    walk = Walk(scored(np.full(CASES, 0.5)), noise=1.0)
    start, outcomes = walk.best, []
    for number in range(8):
        made = better(walk.point, range(6 * number, 6 * number + 5), range(6 * number + 5, 6 * number + 6))
        outcomes.append(walk.judge(made, tried=number + 1))
        if outcomes[-1].kept:
            break
        assert outcomes[-1].leans
        walk.advance(made)
        assert walk.best is start
        assert walk.depth == number + 1
    assert 2 <= len(outcomes) < 8
    assert outcomes[-1].gain.won == 5 * len(outcomes)
    assert outcomes[-1].gain.mean == pytest.approx(0.4 * len(outcomes) / CASES)
    assert walk.best is walk.point
    assert (walk.depth, walk.idle) == (0, 0)


def test_a_walk_that_leads_nowhere_is_taken_back_as_a_whole() -> None:
    walk = Walk(scored(np.full(CASES, 0.5)), noise=1.0, patience=3)
    start = walk.best
    tentative = better(start, range(5), range(5, 6))
    assert walk.judge(tentative, tried=1).leans
    walk.advance(tentative)
    ended = []
    for number in range(3):
        assert not walk.judge(better(tentative, range(0), range(9)), tried=2 + number).leans
        ended.append(walk.give_up())
    assert ended == [False, False, True]
    assert walk.point is walk.best is start
    assert walk.depth == 0


def test_without_patience_there_is_no_tentative_step() -> None:
    walk = Walk(scored(np.full(CASES, 0.5)), noise=1.0, patience=0)
    assert not walk.judge(better(walk.best, range(5), range(5, 6)), tried=1).leans
    assert walk.point is walk.best


def test_each_step_that_was_chosen_makes_the_bound_higher() -> None:
    def least(chained: int) -> float:
        """The smallest gain, in standard errors, that is kept."""
        passing = (
            z
            for z in np.arange(0.0, 12.0, 0.01)
            if not verdict(Gain(z, 1.0, 9, 0), noise=1.0, chained=chained)
        )
        return float(next(passing))

    bounds = [least(chained) for chained in range(6)]
    assert bounds == sorted(bounds)
    assert np.diff(bounds).min() > 0.1
    # Adding up the better half of k noise steps gains 0.8 sqrt(k) standard errors by choice alone.
    assert least(50) > 0.8 * np.sqrt(50)


async def test_the_best_of_a_proposals_candidates_is_gone_on_from(ground: Ground, tmp_path: Path) -> None:
    """No length is skipped because a shorter one leans: all are measured from one point, then the best counts."""
    pad = Scratchpad.create(tmp_path / "scratchpad.json", "inner", {})
    await run(ground, pad, inner_mind(STEP), episodes=1, probes=2, noise=3.0)
    (entry,) = pad.entries
    assert {trial["moved"]["weight_tests"][0] for trial in entry["trials"]} == {0.7}
    assert len(entry["trials"]) == 3
    tentative = [trial for trial in entry["trials"] if trial["tentative"]]
    assert len(tentative) == 1
    assert tentative[0]["ndcg"] == max(trial["ndcg"] for trial in entry["trials"])
    assert entry["working"]["params"] == tentative[0]["params"]


async def test_what_is_kept_is_recorded_as_one_change_from_the_last_kept_point(
    ground: Ground, tmp_path: Path
) -> None:
    pad = Scratchpad.create(tmp_path / "scratchpad.json", "inner", {})
    done = await run(ground, pad, inner_mind(STEP), start=START, episodes=2, probes=0, noise=1.2)
    first, second = pad.entries
    assert first["trials"][0]["tentative"]
    assert (first["kept"], second["kept"]) == (False, True)
    assert Parameters(first["params"]) == START
    assert first["working"]["depth"] == 1
    assert Parameters(first["working"]["params"])["weight_tests"] == pytest.approx(0.65)
    assert second["trials"][0]["moved"] == {"weight_tests": [0.5, pytest.approx(0.8)]}
    assert done.best["weight_tests"] == pytest.approx(0.8)
    gain = ground.train.evaluate(done.best).score - ground.train.evaluate(START).score
    assert second["trials"][0]["gain"] == pytest.approx(gain)


async def test_a_run_killed_within_a_walk_goes_on_from_its_working_point(
    ground: Ground, tmp_path: Path
) -> None:
    whole = Scratchpad.create(tmp_path / "whole.json", "inner", {})
    await run(ground, whole, inner_mind(STEP), start=START, episodes=3, probes=0, noise=1.2)
    cut = Scratchpad.create(tmp_path / "cut.json", "inner", {})
    await run(ground, cut, inner_mind(STEP), start=START, episodes=1, probes=0, noise=1.2)
    again = Scratchpad.load(tmp_path / "cut.json")
    await run(ground, again, inner_mind(STEP), start=START, episodes=3, probes=0, noise=1.2)
    for ours, theirs in zip(again.entries, whole.entries, strict=True):
        assert [ours[key] for key in KEPT] == [theirs[key] for key in KEPT]
        assert [trial["moved"] for trial in ours["trials"]] == [trial["moved"] for trial in theirs["trials"]]
    assert whole.entries[1]["kept"]


async def test_a_tentative_step_is_in_the_ledger_and_not_in_force(ground: Ground, tmp_path: Path) -> None:
    with begun(tmp_path) as (pad, ledger):
        await train(ground, pad, ledger, STEP, episodes=1, noise=1.2)
        assert pad.entries[0]["trials"][0]["tentative"]
        (change,) = ledger.rows()
        assert change.state == "rejected"
        assert ledger.get(change.id)[1][-1].cause.startswith("tentative, ")
        assert ledger.parameters == Parameters()
