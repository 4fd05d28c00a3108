"""L2 on the engine of `hal9 tune`: the same population, race, merging and pruning, with seeds as tasks."""

from pathlib import Path
from typing import Any

import pytest

from hal9.errors.trainer import TrainerSettingInvalid
from hal9.minds.scripted import ScriptedMind
from hal9.trainer.outer.promptgrams import PromptRegistry
from hal9.trainer.outer.searching import run_search, runs_at_most
from hal9.trainer.outer.stack import OuterResult, OuterSettings
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.support import outer_mind
from tests.trainer.test_outer import append, dies_at, one_each, workshop


async def search(
    ground: EvaluationData, folder: Path, outer: ScriptedMind, **settings: Any
) -> tuple[OuterResult, RunLog]:
    path = folder / "run" / "outer_scratchpad.json"
    pad = RunLog.load(path) if path.is_file() else RunLog.create(path, "outer", {})
    chosen = OuterSettings(**{"steps": 3, "explore": 0.0, **settings})
    return await run_search(workshop(ground, folder, outer), pad, chosen), pad


async def test_every_proposal_is_measured_and_the_best_promptgram_is_no_worse_than_the_first(
    ground: EvaluationData, tmp_path: Path
) -> None:
    done, pad = await search(ground, tmp_path, outer_mind(one_each))
    assert (done.steps, done.reason) == (3, "steps")
    assert sum(entry["selection_mode"] == "search" for entry in pad.entries) == 3
    assert done.mean >= done.measured["inner_v001"].mean
    assert done.mean == max(measured.mean for measured in done.measured.values())
    first = pad.entries[0]
    assert (first["parent"], first["prompt_id"]) == ("inner_v001", "inner_v002")
    # Raising weight_tests harms these cases, weight_pairs helps.
    assert first["delta"]["ndcg"] < 0 < pad.entries[1]["delta"]["ndcg"]
    # A step begins where the best one so far ended.
    assert [entry["parent"] for entry in pad.entries[:3]] == ["inner_v001", "inner_v001", "inner_v003"]
    runs = list((tmp_path / "run" / "inner_runs").glob("step_*/seed-*/scratchpad.json"))
    assert len(runs) <= runs_at_most(3, 2)


async def test_what_an_edit_was_worth_reaches_the_next_proposal(
    ground: EvaluationData, tmp_path: Path
) -> None:
    outer = outer_mind(one_each)
    _, pad = await search(ground, tmp_path, outer, steps=2)
    told = f"{pad.entries[0]['delta']['ndcg']:+.4f} ± {pad.entries[0]['delta']['error']:.4f}"
    assert told in outer.requests[1].messages[-1].content
    assert "the tuner asks for help; its own scores: seed-0 " in outer.requests[0].messages[-1].content


async def test_an_item_without_which_runs_end_as_high_is_taken_out_again(
    ground: EvaluationData, tmp_path: Path
) -> None:
    idle = {**append("weight_pairs")[0], "content": "Consider everything with care."}

    def both(number: int) -> list[dict[str, Any]]:
        return [*append("weight_pairs"), idle] if number == 0 else append("weight_pairs")

    done, pad = await search(ground, tmp_path, outer_mind(both), steps=1)
    items = PromptRegistry(tmp_path / "prompts").load(done.best).promptgram.section("Heuristics")
    assert "Raise weight_pairs now." in items
    assert "with care" not in items
    assert pad.entries[-1]["selection_mode"] == "pruned"
    assert pad.entries[-1]["delta"]["ndcg"] == pytest.approx(0.0)


@pytest.mark.parametrize("cut", [1, 4, 7])
async def test_a_search_killed_at_any_episode_ends_as_if_it_had_not_been(
    ground: EvaluationData, tmp_path: Path, cut: int
) -> None:
    straight, whole = await search(ground, tmp_path / "a", outer_mind(one_each), steps=2)
    folder, outer = tmp_path / "b", outer_mind(one_each)
    broken = workshop(ground, folder, outer)
    broken.listener = dies_at(cut)
    pad = RunLog.create(folder / "run" / "outer_scratchpad.json", "outer", {})
    with pytest.raises(KeyboardInterrupt):
        await run_search(broken, pad, OuterSettings(steps=2, explore=0.0))
    done, resumed = await search(ground, folder, outer, steps=2)
    keep = ("outer_step", "parent", "prompt_id", "problem", "baseline", "final", "delta", "final_params")
    assert [{k: e.get(k) for k in keep} for e in resumed.entries] == [
        {k: e.get(k) for k in keep} for e in whole.entries
    ]
    assert (done.best, done.mean, done.params) == (straight.best, straight.mean, straight.params)
    assert len(outer.requests) == 2  # nothing was asked twice


async def test_a_warm_start_is_refused_with_the_reason(ground: EvaluationData, tmp_path: Path) -> None:
    with pytest.raises(TrainerSettingInvalid, match="goes with the topology stack only"):
        await search(ground, tmp_path, outer_mind(one_each), warm_start=True)
