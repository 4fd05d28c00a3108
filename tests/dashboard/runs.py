"""Records of long workloads as they lie in a home."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal9.cluster import Cluster, Home
from hal9.holograph.data.table import Table
from hal9.holograph.model.embedding import HashedEmbedder
from hal9.holograph.queries.answerers import Nobody
from hal9.holograph.runs.discovery import Run, discover
from hal9.holograph.runs.inquiry import DiscoveryState, Settings
from hal9.holograph.runs.store import RunStore
from hal9.holograph.spec import Problem, Variable
from hal9.trainer.record.run_log import RunLog
from hal9.tuning import TuneResult, TuneSettings, TuningRoles, run_tuning
from tests.tuning.toy import BASE, ToyAnswerer, ToyScorer, reflecting_mind, toy_tasks

__all__ = ["bare", "episode", "garden", "recorded", "tuned"]


async def recorded(home: Home, kind: str, entries: Sequence[dict[str, Any]], options: str = "") -> str:
    """A training task whose run has recorded these entries; its id."""
    folder = home.state / "workloads" / "ripmap-train" / ("runs/mine" if kind == "outer" else "mine")
    name = "outer_scratchpad.json" if kind == "outer" else "scratchpad.json"
    log = RunLog.create(folder / name, kind, {"mind": "a mind", "episodes": 2})
    for entry in entries:
        log.append(entry)
    async with Cluster(home) as cluster:
        return await cluster.submit(f"run_name: mine{options}", workload="ripmap-train")


def bare(home: Home, kind: str, entries: Sequence[dict[str, Any]], name: str = "mine") -> Path:
    """A run of a bare command in the home's folder; where it lies."""
    place, record = ("training-outer", "outer_") if kind == "outer" else ("training", "")
    folder = home.root / place / "runs" / name
    log = RunLog.create(folder / f"{record}scratchpad.json", kind, {"strategy": "tpe"})
    for entry in entries:
        log.append(entry)
    return folder


async def tuned(home: Home, *, name: str) -> TuneResult:
    """A run of `hal9 tune` whose neuron learns what its tasks need, with one idea that is dropped."""
    return await run_tuning(
        BASE,
        toy_tasks(24),
        TuningRoles(answerer=ToyAnswerer(), scorer=ToyScorer(), reflect=reflecting_mind(fluff=0.7, seed=1)),
        home.state / "tuning" / name,
        settings=TuneSettings(budget=100),
    )


def episode(number: int, **more: Any) -> dict[str, Any]:
    return {"episode": number, "best_ndcg": 0.5, "params": {}, "kept": False, **more}


async def garden(home: Home, *, name: str) -> None:
    """A run of HOLOGRAPH on a table alone."""
    rng = np.random.default_rng(0)
    rain = rng.normal(size=300)
    wet = 0.8 * rain + 0.4 * rng.normal(size=300)
    problem = Problem((Variable(name="rain"), Variable(name="wet <b>grass</b>")), domain="gardening")
    table = Table.of(problem.names, np.column_stack([rain, wet]), scale="gaussian")
    inquiry = DiscoveryState(problem, Settings(budget_queries=0), table, HashedEmbedder())
    with RunStore(home.state / "holograph.db") as store:
        await discover(inquiry, Nobody(), run=Run(store, name))
