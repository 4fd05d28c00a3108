"""Shadow collapse: a graph that says nothing any more is measured on its links and on PageRank's mass."""

from pathlib import Path
from typing import Any

import pytest

from hal9.errors.trainer import TrainerSettingInvalid
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.graph_health import graph_health
from hal9.trainer.inner.loop import InnerLoop, InnerSettings
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from hal9.trainer.search.space import liveness, space_of, why_still
from tests.trainer.support import inner_mind


async def test_a_graph_that_says_nothing_any_more_is_named(ground: EvaluationData, tmp_path: Path) -> None:
    """Distrusting every reference leaves few links and moves little of PageRank's mass."""
    start = graph_health(ground.train, Parameters())
    assert start.final >= 1 and start.mass > 0
    left = graph_health(ground.train, Parameters({"final_weight_import": 0.1, "shadow_weight_import": 0.1}))
    assert left.final < 0.5 * start.final and left.shadow <= start.shadow and left.mass <= start.mass

    async def detected(*changes: dict[str, Any], begin: Parameters) -> list[list[str]]:
        pad = RunLog.create(tmp_path / f"{len(begin.changes())}.json", "inner", {})
        settings = InnerSettings(episodes=len(changes), probes=0, tunable=200, repairs=0)
        loop = InnerLoop(
            inner_mind(*changes), shipped_promptgram("l1-ranker-tuner"), ground.train, space_of("all"), pad,
            settings, start=begin,
        )  # fmt: skip
        await loop.run()
        return [entry["detections"] for entry in pad.entries]

    harmless = {"shadow_proximity_boost": ["increase", "small", ""]}
    last = {"final_weight_import": ["decrease", "large", ""]}
    almost = Parameters({"final_weight_import": 0.7})
    found = await detected(harmless, last, begin=almost)
    assert "shadow_collapse" not in found[0] and "shadow_collapse" in found[1]


def test_a_parameter_that_moves_nothing_says_why(ground: EvaluationData) -> None:
    seeds = [name for name, item in PARAMETERS.items() if item.origin == "seed"]
    found = liveness(ground.train.cases, names=seeds)
    assert len(seeds) == 17
    told = {name: why_still(name, life) for name, life in found.items() if life != "alive"}
    assert all(told.values())
    assert told["pagerank_alpha"] == "acts only where weight_structure is above 0"
    assert told["boost_chat_file"] == "no case has files in its conversation"
    with pytest.raises(TrainerSettingInvalid) as refused:
        EvaluationData(ground.corpus, "seed")
    assert all(f"  {name}: {why}" in str(refused.value) for name, why in told.items())
