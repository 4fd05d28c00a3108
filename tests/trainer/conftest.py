"""The small corpus, prepared once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.trainer.evaluation.corpus import Corpus, localization_corpus
from hal9.trainer.record.runs import EvaluationData
from tests.trainer.support import make_corpus


@pytest.fixture(scope="session")
def corpus_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_corpus(tmp_path_factory.mktemp("trainer"))


@pytest.fixture(scope="session")
def corpus(corpus_folders: tuple[Path, Path]) -> Corpus:
    folder, trees = corpus_folders
    return localization_corpus(folder, trees=trees, fetch=False)


@pytest.fixture(scope="session")
def shared_ground(corpus: Corpus) -> Iterator[EvaluationData]:
    ground = EvaluationData(corpus)
    yield ground
    ground.close()


@pytest.fixture
def ground(shared_ground: EvaluationData) -> EvaluationData:
    """The shared ground with an empty memory of evaluations."""
    shared_ground.train._known.clear()
    shared_ground.train.calls = 0
    return shared_ground


@pytest.fixture
def here(corpus_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory where commands find the small corpus."""
    folder, trees = corpus_folders
    monkeypatch.setenv("HAL9_SHARED", str(folder.parents[1]))
    monkeypatch.setenv("HAL9_SDISTS", str(trees))
    monkeypatch.chdir(tmp_path)
    return tmp_path
