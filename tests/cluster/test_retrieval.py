"""What a neuron is told where the task names no file: ripmap says what it is about, else the words do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.cluster.services.mapping import RipmapMapper, clear_winner
from hal9.cluster.services.retrieval import RuleRetrieval
from hal9.memory import MemoryScope, MemoryStore, NewRule, RuleStore
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.records import TAUGHT_ON
from hal9.settings import RepositoryMapSettings, Settings
from hal9.signals import TaskScope


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db", embedder=HashingEmbedder()) as opened:
        yield opened


def add(store: MemoryStore, workspace: Path, place: str, rule: str, taught_on: str = "") -> int:
    book = RuleStore(store)
    number = book.propose(
        NewRule(
            rule=rule,
            scope=MemoryScope(str(workspace), place=place),
            source="user",
            trusted_by="user",
            provenance={TAUGHT_ON: taught_on},
        )
    )
    book.set_state(number, "admitted", "the user's word")
    return number


def retrieval(store: MemoryStore, likely: object = None) -> RuleRetrieval:
    return RuleRetrieval(
        store,
        RuleStore(store),
        definitions={},
        settings=Settings,
        likely_files=likely,  # type: ignore[arg-type]
    )


async def test_the_ranking_says_which_folder_a_task_is_about(store: MemoryStore, tmp_path: Path) -> None:
    number = add(store, tmp_path, "src/mail/**", "answer with a receipt")
    asked: list[str] = []

    async def likely(workspace: Path, task: str) -> list[str]:
        asked.append(task)
        return ["src/mail/send.py"]

    scope = TaskScope(workspace=str(tmp_path))
    told = await retrieval(store, likely).recall("letters get lost", scope=scope, neuron="n", layer=2)
    assert told is not None
    assert told.rule_ids == (number,)
    named = scope.model_copy(update={"paths": ["src/web/a.py"]})
    assert await retrieval(store, likely).recall("letters get lost", scope=named, neuron="n", layer=2) is None
    assert asked == ["letters get lost"], "a task whose files are known is not ranked"


async def test_without_a_clear_folder_the_words_decide(store: MemoryStore, tmp_path: Path) -> None:
    taught = "Add reminder_on(year, month, day), the day of the reminder for an invoice."
    number = add(store, tmp_path, "billing/**", "dates as DD.MM.YYYY", taught)

    async def nothing(workspace: Path, task: str) -> list[str]:
        return []

    scope = TaskScope(workspace=str(tmp_path))
    again = "Write due_on(year, month, day), the day on which an invoice is due."
    told = await retrieval(store, nothing).recall(again, scope=scope, neuron="n", layer=2)
    assert told is not None
    assert told.rule_ids == (number,)
    other = await retrieval(store, nothing).recall("Sort words by length.", scope=scope, neuron="n", layer=2)
    assert other is None


async def test_no_ranking_where_no_rule_waits_for_it(store: MemoryStore, tmp_path: Path) -> None:
    async def never(workspace: Path, task: str) -> list[str]:
        raise AssertionError("ranked for nothing")

    add(store, tmp_path / "elsewhere", "src/**", "answer with a receipt")
    add(store, tmp_path, "**", "use type hints")
    scope = TaskScope(workspace=str(tmp_path))
    told = await retrieval(store, never).recall("add(a, b)", scope=scope, neuron="n", layer=2)
    assert told is not None
    assert told.rule == "use type hints"


def test_a_winner_is_clear_by_its_folder() -> None:
    assert clear_winner([("a/x.py", 3.0), ("a/y.py", 2.5), ("b/z.py", 2.0)]) == ["a/x.py"]
    assert clear_winner([("a/x.py", 3.0), ("b/y.py", 2.9)]) == []
    assert clear_winner([("a/x.py", 0.0)]) == []
    assert clear_winner([]) == []


async def test_likely_files_of_a_real_checkout(tmp_path: Path) -> None:
    for folder, word in (("mail", "letter"), ("web", "request"), ("store", "shelf")):
        for number in range(3):
            path = tmp_path / folder / f"{word}{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                f"def send_{word}_{number}({word}):\n    '''Deliver a {word}.'''\n    return {word}\n"
            )
    mapper = RipmapMapper(RepositoryMapSettings())
    found = await mapper.likely_files(tmp_path, "deliver the letter: a letter is not sent by send_letter_1")
    assert [Path(one).parent.name for one in found] == ["mail"]
