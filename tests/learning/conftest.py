from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hal9.clock import ManualClock
from hal9.learning import ChecksFirst, Critic, EngineDependencies, LearningEngine, PromptStore, RuleLearner
from hal9.memory import MemoryStore
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.promptgram import Promptgram
from hal9.settings import Settings

ROOT = Path(__file__).parents[2]
LAYERS = {"l2-craftsman": 2, "l2-implementer": 2, "l3-designer": 3, "l4-strategist": 4}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db", embedder=HashingEmbedder(64), clock=clock) as opened:
        yield opened


@pytest.fixture
def files() -> dict[str, Promptgram]:
    return shipped()


def shipped() -> dict[str, Promptgram]:
    return {name: Promptgram.load(ROOT / "neurons" / f"{name}.md") for name in LAYERS}


def make_engine(
    store: MemoryStore,
    files: dict[str, Promptgram],
    settings: Callable[[], Settings] = Settings,
    *,
    alerts: list[str] | None = None,
    critic: Critic | None = None,
) -> LearningEngine:
    prompts = PromptStore(store, files)
    return LearningEngine(
        EngineDependencies(
            store=store,
            prompts=prompts,
            rule_learner=RuleLearner(store),
            critic=critic or Critic(),
            scorer=ChecksFirst(),
            entry="book",
            settings=settings,
            alert=(alerts if alerts is not None else []).append,
        )
    )


@pytest.fixture
def engine(store: MemoryStore, files: dict[str, Promptgram]) -> LearningEngine:
    return make_engine(store, files)
