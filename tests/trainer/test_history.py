"""Training on a repository's own history: prepared once, told from the first second, reported whenever it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.errors.trainer import CorpusUnavailable, TrainingRunUnknown
from hal9.ripmap.parameters import Parameters
from hal9.trainer.cli.outer import outer_command
from hal9.trainer.evaluation import case_cache
from hal9.trainer.evaluation.corpus import Corpus, history_corpus
from hal9.trainer.evaluation.evaluator import Gain, paired_gain
from hal9.trainer.evaluation.preparing import Preparation, PreparationStopped
from hal9.trainer.power import power_of
from hal9.trainer.record.changes import FIRST_TRIES, NOISE, verdict
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.support import WORDS, _tree
from tests.trainer.test_commands import INNER, OUTER, train

COMMITS = 15


def commit(root: Path, number: int) -> None:
    word = WORDS[number % len(WORDS)]
    path = root / "pkg" / f"{word}.py"
    path.write_text(
        f"{path.read_text()}\n\ndef {word}_again_{number}(value):\n    return {word}_open(value)\n"
    )
    git(root, "commit", "-qam", f"fix the {word} that was opened twice\n\nCase {number} of {word}.")


def git(root: Path, *arguments: str) -> None:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *named, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("history") / "project"
    _tree(root, 0)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "begin")
    for number in range(COMMITS):
        commit(root, number)
    return root


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "project"))


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cases"


def prepared(root: Path, caches: Path) -> tuple[Corpus, int, int]:
    """The corpus with all its splits prepared; how many cases were made, and how many read back."""
    corpus = history_corpus(root, cache=caches)
    for split in corpus.cases:
        corpus.prepare(split)
    assert corpus.cache is not None
    return corpus, corpus.cache.made, corpus.cache.known


def test_what_was_prepared_is_read_back_by_commit_and_code_version(
    repository: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, made, known = prepared(repository, caches)
    count = sum(map(len, first.cases.values()))
    assert (made, known) == (count, 0)
    again, made, known = prepared(repository, caches)
    assert (made, known) == (0, count)
    probe = Parameters({"weight_words": 1.7})
    one, two = (EvaluationData(corpus).train.evaluate(probe).ndcg.tolist() for corpus in (first, again))
    assert one == two
    commit(repository, COMMITS)
    assert again.cache is not None
    damaged = again.cache.place(again.cases["train"][0])
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert prepared(repository, caches)[1:] == (2, count - 1)
    monkeypatch.setattr(case_cache, "__version__", "another")
    assert prepared(repository, caches)[1:] == (count + 1, 0)
    folder = next(caches.iterdir())
    assert len([path for path in folder.iterdir() if not path.name.startswith("cases-")]) == count + 1


def test_commits_are_cases_of_one_repository(repository: Path, caches: Path) -> None:
    ground = EvaluationData(history_corpus(repository, cache=caches))
    assert set(ground.train.repositories) == {"project"}
    assert "cases of one repository" in ground.told()
    assert all(cell["trees"] == ["project"] for cell in ground.corpus.describe().values())
    # As clusters, commits would give another standard error than cases do.
    changed, base = ground.train.evaluate(Parameters({"weight_path": 0.0})), ground.train.evaluate()
    share = base.weights / base.weights.sum()
    scores = share * (changed.ndcg - base.ndcg - share @ (changed.ndcg - base.ndcg))
    count = len(scores)
    assert paired_gain(changed, base).error == pytest.approx(
        float((scores**2).sum() * count / (count - 1)) ** 0.5
    )


def test_what_a_run_can_find_out_is_told_before_it(ground: EvaluationData) -> None:
    power = power_of(ground.train, ground.space, noise=NOISE, first=FIRST_TRIES)
    assert f"with {len(ground.train.cases)} cases" in power.told() and "can be kept" in power.told()
    # The bounds that are told are those that candidates are held to.
    for bound, tried in ((power.first, 1), (power.later, 50)):
        for share, kept in ((0.99, False), (1.01, True)):
            gain = Gain(share * bound, power.error, won=9, lost=0)
            assert (verdict(gain, noise=NOISE, tried=tried) == "") is kept


def test_preparing_is_told_and_can_be_stopped_without_losing_what_is_done(
    repository: Path, caches: Path
) -> None:
    lines: list[str] = []
    seen = [0]

    def stop() -> bool:
        seen[0] += 1
        return seen[0] > 4

    corpus = history_corpus(repository, cache=caches)
    with pytest.raises(PreparationStopped, match="4 of 9 cases"):
        corpus.prepare("train", Preparation(say=lines.append, stop=stop))
    assert lines == ["preparing 9 train cases"]
    again = history_corpus(repository, cache=caches)
    again.prepare("train", Preparation(say=lines.append))
    assert lines[1] == "preparing 9 train cases (4 are known from before)"
    assert again.cache is not None and again.cache.known == 4


def interrupted(root: Path, folder: Path, at: str) -> str:
    """What the command says after Ctrl-C at the first line that begins so."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    arguments = ["--repo", str(root), "--strategy", "steps", "--runs", "runs", "--run-name", "one"]
    code = "from hal9.trainer.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--budget", "100000"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        for line in running.stdout:
            if line.strip().startswith(at):
                running.send_signal(signal.SIGINT)
                break
        told = running.stdout.read()
    assert running.returncode == 0, told
    return told


def test_ctrl_c_while_preparing_and_while_running_leaves_a_report(
    repository: Path, caches: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "one"
    told = interrupted(repository, tmp_path, "preparing")
    assert "ending: what there is by now is reported" in told
    assert "cases were prepared" in told and "Aborted" not in told
    report = (folder / "report.md").read_text()
    assert "ended because: cancelled (SIGINT; " in report and "Not judged" in report
    interrupted(repository, tmp_path, "3 ")
    results = json.loads((folder / "results.json").read_text())
    assert results["reason"] == "cancelled" and {"train", "validation"} <= set(results["splits"])
    assert "beyond noise" in results["verdict"] or "than its start" in results["verdict"]


def test_time_that_ends_in_preparation_is_a_report_too(
    repository: Path, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = train(
        "--repo", str(repository), "--strategy", "random", "--limit-seconds", "0.001", "--run-name", "short"
    )
    assert done.exit_code == 0, done.output
    assert "0 of 9 cases were prepared" in done.output
    assert "of --limit-seconds are over" in (tmp_path / "training/runs/short/report.md").read_text()


def test_a_run_goes_on_without_its_flags(
    repository: Path, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = (
        "--repo",
        str(repository),
        "--strategy",
        "steps",
        "--seed",
        "4",
        "--no-test",
        "--run-name",
        "flags",
    )
    assert train(*begun, "--no-test", "--budget", "2").exit_code == 0
    more = train("--resume", "--run-name", "flags", "--budget", "4")
    assert more.exit_code == 0, more.output
    pad = RunLog.load(tmp_path / "training/runs/flags/scratchpad.json")
    assert len(pad.entries) == 4 and pad.settings["seed"] == 4


def test_an_outer_run_goes_on_without_its_flags(here: Path) -> None:
    begun = ["two", "--episodes-inner", "1", "--repeats", "1", "--agent-inner", INNER, "--agent-outer", OUTER]
    assert train(*begun, "--no-test", "--steps-outer", "1", command=outer_command).exit_code == 0
    more = train("two", "--resume", "--steps-outer", "2", command=outer_command)
    assert more.exit_code == 0, more.output
    pad = RunLog.load(here / "training-outer/runs/two/outer_scratchpad.json")
    assert len(pad.entries) == 2 and pad.settings["agent_inner"] == INNER


def test_what_is_no_history_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "plain").mkdir()
    with pytest.raises(CorpusUnavailable, match="plain has no history to learn from.*--curated"):
        train("--repo", "plain", "--strategy", "steps")
    with pytest.raises(TrainingRunUnknown, match="no run 'never'"):
        train("--resume", "--run-name", "never")
