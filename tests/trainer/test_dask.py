"""Ranking on a real Dask cluster: a scheduler and workers as processes of their own, one of them killed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hal9.errors.trainer import EvaluationFailed, ExecutorInvalid
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.corpus import Corpus
from hal9.trainer.evaluation.dask_pool import CaseSource, DaskPool, address_of, cases_digest, connect
from hal9.trainer.evaluation.evaluator import TrainingEvaluator
from tests.support.waiting import eventually_now
from tests.trainer.test_commands import train


class Cluster:
    """A scheduler and its workers; all of them end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        file = self.folder / "scheduler.json"
        self._run(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
        eventually_now(
            lambda: file.is_file() and '"address"' in file.read_text(), "the scheduler writes its address"
        )
        self.address = json.loads(file.read_text())["address"]

    def worker(self) -> "subprocess.Popen[bytes]":
        return self._run("worker", self.address, "--no-nanny", "--no-dashboard", "--nthreads", "1")

    def _run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        program = [sys.executable, "-m", "dask", *arguments]
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(program, stdout=log, stderr=log, cwd=self.folder, env=dict(os.environ))
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            process.kill()
        for process in self.running:
            process.wait()


@pytest.fixture
def cluster(here: Path) -> Iterator[Cluster]:
    made = Cluster(here)
    try:
        made.start()
        yield made
    finally:
        made.end()


def changed(number: int) -> Parameters:
    return Parameters({"weight_words": 1.0 + number / 10})


def pool_of(evaluator: TrainingEvaluator, address: str, patience: float = 60.0) -> DaskPool:
    source = CaseSource("curated", "plain", "train")
    prepared = evaluator.prepared
    return DaskPool(connect(address), source, cases_digest(prepared), len(prepared), patience=patience)


def test_workers_give_what_one_process_gives_also_when_one_is_killed(
    cluster: Cluster, corpus: Corpus
) -> None:
    first, second = cluster.worker(), cluster.worker()
    prepared = corpus.prepare("train")
    alone = TrainingEvaluator(prepared)
    with TrainingEvaluator(prepared, make_pool=lambda one: pool_of(one, cluster.address)) as spread:
        assert np.array_equal(alone.evaluate().ndcg, spread.evaluate().ndcg)
        assert alone.evaluate(changed(1)).ranks == spread.evaluate(changed(1)).ranks
        first.kill()
        assert alone.evaluate(changed(2)).ranks == spread.evaluate(changed(2)).ranks
        second.kill()
        cluster.worker()
        assert alone.evaluate(changed(3)).ranks == spread.evaluate(changed(3)).ranks


def test_no_worker_left_is_told(cluster: Cluster, corpus: Corpus) -> None:
    worker = cluster.worker()
    with TrainingEvaluator(
        corpus.prepare("train"), make_pool=lambda one: pool_of(one, cluster.address, patience=0.0)
    ) as spread:
        spread.evaluate()
        worker.kill()
        with pytest.raises(EvaluationFailed, match="had no worker"):
            spread.evaluate(changed(1))


def test_a_worker_with_another_corpus_is_refused(cluster: Cluster, corpus: Corpus) -> None:
    cluster.worker()
    prepared = corpus.prepare("train")
    other = DaskPool(
        connect(cluster.address), CaseSource("curated", "plain", "train"), "0" * 64, len(prepared)
    )
    with pytest.raises(EvaluationFailed, match="another corpus") as caught:
        other.ranks(Parameters())
    assert "same state" in str(caught.value)
    other.close()


def test_a_run_on_the_workers(cluster: Cluster, here: Path) -> None:
    cluster.worker()
    options = ("--strategy", "random", "--budget", "3", "--space", "weights", "--no-test")
    local = train(*options, "--run-name", "local")
    spread = train(*options, "--run-name", "spread", "--executor", f"dask:{cluster.address}")
    assert local.exit_code == spread.exit_code == 0, spread.output
    told = [[line for line in done.output.splitlines() if "NDCG@10" in line] for done in (local, spread)]
    assert told[0] == told[1]
    assert told[0]


@pytest.mark.parametrize("executor", ["dask", "dask:localhost:8786", "ray:tcp://host:1", ""])
def test_an_executor_that_is_none(executor: str) -> None:
    with pytest.raises(ExecutorInvalid, match="dask:tcp://HOST:PORT"):
        address_of(executor)


def test_no_scheduler_there(here: Path) -> None:
    with pytest.raises(EvaluationFailed, match="Start `dask scheduler`"):
        connect("tcp://127.0.0.1:9", patience=0.5)
