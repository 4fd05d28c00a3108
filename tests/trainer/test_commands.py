"""The commands as a person uses them: runs, pictures, resume after kill -9, distillation, the workload."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hal9.errors.budgets import PriceUnknown
from hal9.errors.minds import AgentMissing, UnknownMind
from hal9.errors.trainer import (
    ScratchpadInvalid,
    TrainerSettingInvalid,
    TrainingRunExists,
    TrainingRunUnchanged,
    TrainingRunUnknown,
)
from hal9.minds.protocol import Usage
from hal9.ripmap.parameters import Parameters
from hal9.trainer.cli.main import train_command
from hal9.trainer.cli.outer import outer_command
from hal9.trainer.evaluation.corpus import Corpus
from hal9.trainer.inner.baseline import BaselineSettings, run_baseline
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from hal9.trainer.reporting.report import cost_lines
from hal9.trainer.reporting.views import sparkline
from hal9.trainer.search.optimisers import STRATEGIES, open_strategy
from hal9.trainer.workload import run_workload
from tests.trainer.support import PROPOSAL
from tests.trainer.test_inner import fake_agent

INNER = "scripted:tests.trainer.scripts:inner"
OUTER = "scripted:tests.trainer.scripts:outer"


def train(*arguments: str, command: Any = train_command) -> Result:
    done = CliRunner().invoke(command, list(arguments), catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_mind_trains_and_leaves_everything_behind(here: Path) -> None:
    done = train("--curated", "--reason", "--agent", INNER, "--episodes", "3", "--run-name", "one")
    assert done.exit_code == 0, done.output
    folder = here / "training" / "runs" / "one"
    names = {path.name for path in folder.iterdir()}
    assert {"scratchpad.json", "results.json", "results.trained.json", "progress.png", "report.md"} <= names
    assert (folder / "progress.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((folder / "results.json").read_text())
    assert set(results["splits"]) == {"train", "validation", "late", "test"}
    assert results["verdict"] in done.output
    trained = json.loads((folder / "results.trained.json").read_text())["parameters"]
    pad = RunLog.load(folder / "scratchpad.json")
    assert Parameters(trained) == Parameters(pad.entries[-1]["params"])
    report = (folder / "report.md").read_text()
    assert "![progress](progress.png)" in report
    assert results["verdict"].capitalize() in report
    for split, cell in results["splits"].items():
        assert f"| {split} | {cell['cases']} |" in report


def test_runs_are_listed_shown_and_not_overwritten(here: Path) -> None:
    train("--reason", "--agent", INNER, "--episodes", "2", "--run-name", "one", "--no-test")
    assert "one: " in train("--list").output
    shown = train("--show", "one").output
    assert "verdict: " in shown
    assert "validation" in shown
    assert "paths of one word mislead" in train("--show-insights").output
    assert "weight_words and weight_path trade off" in train("--show-interactions").output
    with pytest.raises(TrainingRunExists, match="--resume"):
        train("--reason", "--agent", INNER, "--run-name", "one")
    with pytest.raises(TrainingRunUnknown, match="known: one"):
        train("--show", "two")
    more = train(
        "--reason", "--agent", INNER, "--episodes", "3", "--run-name", "one", "--no-test", "--resume"
    )
    assert more.exit_code == 0
    assert len(RunLog.load(here / "training/runs/one/scratchpad.json").entries) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to do"),
        (["--reason", "--strategy", "random"], "exclude each other"),
        (["--reason", "--curated", "--quick"], "exclude each other"),
        (["--strategy", "sgd"], "is not one of"),
        (["--distill"], "needs --scratchpad"),
        (["--reason", "--episodes", "0"], "0 is not in the range"),
    ],
)
def test_wrong_options_are_explained(here: Path, arguments: list[str], said: str) -> None:
    done = train(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def run_process(
    program: str, *arguments: str, folder: Path, **extra: str
) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **extra}
    code = f"from hal9.trainer.cli.{program} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def episodes(path: Path) -> list[dict[str, Any]]:
    keep = ("proposed_changes", "params", "best_ndcg", "kept", "detections")
    return [{key: entry[key] for key in keep} for entry in RunLog.load(path).entries]


def test_kill_9_at_an_episode_loses_nothing(here: Path) -> None:
    arguments = ["--reason", "--agent", INNER, "--episodes", "4", "--no-test"]
    killed = run_process("main", *arguments, "--run-name", "broken", folder=here, DIE_AT_CALL="3")
    assert killed.returncode == -9
    record = here / "training/runs/broken/scratchpad.json"
    assert len(RunLog.load(record).entries) == 2
    resumed = run_process("main", *arguments, "--run-name", "broken", "--resume", folder=here)
    assert resumed.returncode == 0, resumed.stderr
    train(*arguments, "--run-name", "whole")
    assert episodes(record) == episodes(here / "training/runs/whole/scratchpad.json")


@pytest.mark.slow
def test_an_outer_run_survives_kill_9_and_reports_honestly(here: Path) -> None:
    arguments = [
        "my_l2",
        "--steps-outer",
        "2",
        "--episodes-inner",
        "2",
        "--repeats",
        "2",
        "--agent-inner",
        INNER,
        "--agent-outer",
        OUTER,
        "--no-test",
    ]
    killed = run_process("outer", *arguments, folder=here, DIE_AT_CALL="7")
    assert killed.returncode == -9
    resumed = run_process("outer", *arguments, "--resume", folder=here)
    assert resumed.returncode == 0, resumed.stderr
    folder = here / "training-outer" / "runs" / "my_l2"
    results = json.loads((folder / "results.json").read_text())
    assert results["meta_loss"]["mean"] > 0
    assert len(results["what_helped"]) == 2
    assert (results["episodes"], results["usage"]["calls"]) == (12, 12 + 2)  # those before the kill as well
    pad = RunLog.load(folder / "outer_scratchpad.json")
    assert [entry["outer_step"] for entry in pad.entries] == [0, 1]
    assert sorted(path.name for path in (folder / "inner_runs").glob("step_*")) == [
        "step_001",
        "step_002",
        "step_003",
    ]
    assert (here / "training-outer/prompts/inner/inner_v003.md").is_file()
    report = (folder / "report.md").read_text()
    assert "measured edits helped beyond their interval" in report
    assert results["verdict"] in report


@pytest.mark.slow
def test_the_population_topology_by_command(here: Path) -> None:
    done = train(
        "graph",
        "--steps-outer",
        "2",
        "--episodes-inner",
        "1",
        "--agent-inner",
        INNER,
        "--agent-outer",
        OUTER,
        "--topology",
        "population",
        "--no-test",
        command=outer_command,
    )
    assert done.exit_code == 0, done.output
    assert "best promptgram inner_v" in done.output


def test_dry_says_what_would_be_done_and_does_nothing(here: Path) -> None:
    done = train("plan", "--steps-outer", "10", "--episodes-inner", "5", "--dry", command=outer_command)
    assert "at most 120 calls" in done.output
    assert list(here.iterdir()) == []


def test_a_token_limit_ends_a_run_with_its_results(here: Path) -> None:
    done = train("--reason", "--agent", INNER, "--episodes", "9", "--run-name", "poor", "--limit-calls", "2")
    assert done.exit_code == 0
    results = json.loads((here / "training/runs/poor/results.json").read_text())
    assert results["reason"] == "budget"
    assert results["episodes"] == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_resume_where_they_were(ground: EvaluationData, tmp_path: Path, strategy: str) -> None:
    def points(pad: RunLog) -> list[Any]:
        return [(entry["candidate"], entry["ndcg"], entry["kept"], entry["params"]) for entry in pad.entries]

    settings = BaselineSettings(strategy=strategy, budget=14, seed=3)
    whole = RunLog.create(tmp_path / "whole.json", "strategy", {})
    straight = run_baseline(settings, ground.train, ground.space, whole)
    broken = RunLog.create(tmp_path / "broken.json", "strategy", {})
    run_baseline(settings, ground.train, ground.space, broken, stop=lambda: len(broken.entries) >= 6)
    assert len(broken.entries) == 6
    resumed = run_baseline(settings, ground.train, ground.space, RunLog.load(tmp_path / "broken.json"))
    assert points(RunLog.load(tmp_path / "broken.json")) == points(whole)
    assert (resumed.best, resumed.evaluations) == (straight.best, 14)
    assert points(whole)[0][0] == {}  # every strategy begins at the defaults


def test_strategies_differ_by_seed_and_stay_in_the_cube(ground: EvaluationData) -> None:
    for name in STRATEGIES:
        first = [open_strategy(name, ground.space, budget=4, seed=seed) for seed in (0, 0, 1)]
        seen = []
        for search in first:
            points = []
            for _ in range(4):
                point = search.ask()
                assert ((point >= 0) & (point <= 1)).all()
                search.tell(point, float(point.sum()), kept=False)
                points.append(point.tolist())
            seen.append(points)
        assert seen[0] == seen[1]
        assert seen[0] != seen[2]


def test_another_runs_settings_are_refused_on_resume(here: Path) -> None:
    train("--strategy", "random", "--budget", "2", "--run-name", "one", "--no-test")
    with pytest.raises(ScratchpadInvalid, match=r"other settings \(strategy\)"):
        train("--strategy", "lhs", "--budget", "2", "--run-name", "one", "--no-test", "--resume")


def test_errors_are_one_sentence_and_an_exit_code(here: Path) -> None:
    done = run_process("main", "--show", "nothing", folder=here)
    assert done.returncode == 3
    assert done.stderr == "error: There is no run 'nothing' in training/runs (known: none).\n"


def test_a_run_without_a_ledger_is_not_called_unknown(here: Path) -> None:
    train("--strategy", "random", "--budget", "2", "--run-name", "one", "--no-test")
    with pytest.raises(TrainingRunUnchanged, match="'one' in training/runs has no ledger"):
        train("--ledger", "one")
    with pytest.raises(TrainingRunUnknown, match="known: one"):
        train("--ledger", "two")


def test_a_run_that_never_began_blocks_no_name(here: Path) -> None:
    with pytest.raises(UnknownMind):
        train("--reason", "--agent", "nonsense", "--run-name", "one")
    assert (
        train("--reason", "--agent", INNER, "--episodes", "1", "--run-name", "one", "--no-test").exit_code
        == 0
    )


def test_a_missing_or_unknown_agent_is_told_before_anything_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAL9_SHARED", str(here / "nowhere"))
    with pytest.raises(UnknownMind, match="claude, gemini, codex"):
        train("--reason", "--agent", "nobody", "--run-name", "one")
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(AgentMissing, match="claude"):
        train("--reason", "--agent", "claude", "--run-name", "one")
    with pytest.raises(AgentMissing, match="gemini"):
        train("two", "--agent-inner", INNER, "--agent-outer", "gemini", command=outer_command)
    assert "no runs" in train("--list").output


def test_money_is_limited_only_where_a_price_is_known(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"input_tokens": 40, "output_tokens": 20}
    answer = {"subtype": "success", "result": json.dumps(PROPOSAL), "usage": used, "total_cost_usd": 0.02}
    fake_agent(here, f"cat > /dev/null; echo '{json.dumps(answer)}'")
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")
    common = ["--reason", "--agent", "claude", "--limit-usd", "0.1", "--no-test", "--episodes", "9"]
    with pytest.raises(PriceUnknown):
        train(*common, "--run-name", "one")
    done = train(*common, "--run-name", "one", "--usd-per-call", "0.05")
    assert done.exit_code == 0, done.output
    # 0.02 spent by each call, 0.05 reserved for the next: the third would pass 0.1 only after four.
    assert len(RunLog.load(here / "training/runs/one/scratchpad.json").entries) == 3
    assert "ended because: budget: the usd budget per task is 0.1" in done.output
    results = json.loads((here / "training/runs/one/results.json").read_text())
    assert results["usage"]["usd"] == pytest.approx(0.06)
    assert "the usd budget" in (here / "training/runs/one/report.md").read_text()


def test_known_costs_are_told_beside_unknown_ones() -> None:
    usage = asdict(Usage(prompt_tokens=10, completion_tokens=5, usd=None, seconds=1.0, calls=3))
    assert "price unknown" in cost_lines({"usage": usage})[2]
    assert "at least 0.0300 US dollars" in cost_lines({"usage": usage, "usd_known": 0.03})[2]
    assert "0.0300 US dollars" in cost_lines({"usage": {**usage, "usd": 0.03}})[2]
    assert cost_lines({}) == []


def test_a_damaged_run_does_not_hide_the_others(here: Path) -> None:
    train("--reason", "--agent", INNER, "--episodes", "1", "--run-name", "good", "--no-test")
    path = here / "training/runs/bad/scratchpad.json"
    path.parent.mkdir()
    path.write_text((here / "training/runs/good/scratchpad.json").read_text()[:500])
    listed, insights = train("--list").output, train("--show-insights").output
    assert "good: " in listed
    assert "bad: " in listed
    assert "paths of one word mislead" in insights
    assert "left out bad: " in insights


async def test_the_workload_reports_cancels_and_goes_on(here: Path) -> None:
    lines: list[Mapping[str, Any]] = []
    told: list[Mapping[str, Any]] = []

    def hear(one: Mapping[str, Any]) -> None:
        (told if "episode" in one else lines).append(one)

    payload = {"run_name": "task", "mind": INNER, "episodes": 4, "score_test": False}
    first = await run_workload(payload, hear, lambda: len(told) >= 2)
    assert first["reason"] == "cancelled"
    assert [one["episode"] for one in told] == [0, 1]
    assert any("standard error" in one["line"] for one in lines), "who waits is told from the first second"
    second = await run_workload(payload, hear, lambda: False)
    assert second["reason"] == "episodes"
    assert [one["episode"] for one in told] == [0, 1, 2, 3]
    assert Path(second["folder"]).is_dir()
    strategy = {"run_name": "numbers", "strategy": "random", "budget": 3, "score_test": False}
    assert (await run_workload(strategy, hear, lambda: False))["evaluations"] == 3
    outer = {
        "run_name": "both",
        "steps_outer": 1,
        "episodes_inner": 1,
        "repeats": 1,
        "agent_inner": INNER,
        "agent_outer": OUTER,
        "score_test": False,
    }
    assert (await run_workload(outer, hear, lambda: False))["best_prompt_id"].startswith("inner_v")
    with pytest.raises(TrainerSettingInvalid, match="epochs"):
        await run_workload({"run_name": "x", "epochs": 3}, hear, lambda: False)
    with pytest.raises(TrainerSettingInvalid, match="run_name"):
        await run_workload({"mind": INNER}, hear, lambda: False)


def test_sparklines() -> None:
    assert sparkline([0.0, 0.5, 1.0]) in ("▁▄█", "▁▅█")
    assert sparkline([0.3, 0.3]) == "▁▁"
    assert sparkline([]) == ""


def test_a_preset_for_user_queries_prepares_issue_like_cases(corpus: Corpus) -> None:
    both = replace(corpus, queries="both").prepare("train")
    assert len(both) == 2 * len(corpus.cases["train"])
    assert len({item.case.text for item in both}) > len(corpus.cases["train"])


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("hal9.trainer.cli.main", ("--strategy", "tpe", "--run-name", "first")),
        ("hal9.trainer.cli.outer", ("first", "--dry")),
    ],
)
def test_the_first_line_comes_before_anything_heavy_is_loaded(
    tmp_path: Path, module: str, arguments: tuple[str, ...]
) -> None:
    told_first = (
        "import sys, click\n"
        "def first(line, **_):\n"
        "    print(line, [name for name in ('numpy', 'pydantic', 'asyncio') if name in sys.modules])\n"
        "    sys.exit(0)\n"
        "click.echo = first\n"
        f"import {module} as program\n"
        f"sys.argv = ['program', *{arguments!r}]\n"
        "program.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", told_first], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "run first []", done.stderr
