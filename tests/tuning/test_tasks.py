"""Task files: read, checked, split; answers compared."""

from pathlib import Path

import pytest

from hal9.errors.config import ConfigInvalid
from hal9.errors.tuning import TuningTaskInvalid, TuningTooFewTasks
from hal9.settings import WorkbenchSettings
from hal9.tuning import AnswerScorer, TuningTask, load_tasks, split_tasks
from hal9.tuning.scoring import compare


def test_yaml_with_defaults_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text(
        "match: contains\ntasks:\n  - {input: one, expected: a}\n  - {input: two, expected: 2, match: number}\n"
    )
    first, second = load_tasks(path)
    assert (first.match, first.answers) == ("contains", ("a",))
    assert (second.match, second.answers) == ("number", ("2",))


def test_jsonl_one_task_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"input": "a\\u2028b", "expected": "x"}\n\n{"input": "c", "check": "true"}\n')
    assert [task.input for task in load_tasks(path)] == ["a\u2028b", "c"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.yaml", "# mine\n- {input: one, expected: a}\n- {input: two, expected: b}\n"),
        ("t.json", '[{"input": "one", "expected": "a"}, {"input": "two", "expected": "b"}]'),
        ("t.json", '{"tasks": [{"input": "one", "expected": "a"}, {"input": "two", "expected": "b"}]}'),
        ("t.csv", "Question,Answer\none,a\n\ntwo,b\n"),
        ("t.tsv", "text\tlabel\none\ta\ntwo\tb\n"),
    ],
)
def test_a_plain_list_and_a_data_set_are_tasks_too(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert [(task.input, task.answers) for task in load_tasks(path)] == [("one", ("a",)), ("two", ("b",))]


def test_other_columns_are_fields(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text,label,shop\nfirst,"one, and more",a,north\n')
    (task,) = load_tasks(path)
    assert (task.name, task.input, task.fields) == ("first", "one, and more", {"shop": "north"})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.yaml", "hello", "write `tasks:`"),
        ("t.csv", "a,b\n1,2\n", "it has a, b"),
        ("t.csv", "text,label\n1\n", "t.csv:2"),
        ("t.csv", "", "it has none"),
        ("t.yaml", "tasks:\n  - {input: one, expectd: a}\n", "expected"),
        ("t.jsonl", '{"input": "a"}\n{"input": \n', "t.jsonl:2"),
        ("t.jsonl", '{"input": "a", "expectd": "b"}', "did you mean 'expected'"),
        ("t.jsonl", "\n", "no task"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises((ConfigInvalid, TuningTaskInvalid), match=said):
        load_tasks(path)


def test_a_task_that_nothing_judges_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("tasks:\n  - {input: one, id: lonely}\n")
    with pytest.raises(TuningTaskInvalid, match="lonely: needs `expected`"):
        load_tasks(path)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("tasks:\n  - {input: one, expected: a}\n  - {input: one, expected: b}\n")
    with pytest.raises(TuningTaskInvalid, match="id"):
        load_tasks(path)


def test_split_is_whole_disjoint_and_repeatable() -> None:
    tasks = [TuningTask(input=str(n), expected="x") for n in range(20)]
    split = split_tasks(tasks, seed=3)
    parts = [*split.train, *split.selection, *split.held_out]
    assert sorted(task.input for task in parts) == sorted(task.input for task in tasks)
    assert len(split.held_out) == 5 and split == split_tasks(tasks, seed=3) != split_tasks(tasks, seed=4)
    with pytest.raises(TuningTooFewTasks):
        split_tasks(tasks[:5])


@pytest.mark.parametrize(
    ("match", "wanted", "answer", "right"),
    [
        ("text", "Positive", "positive.", True),
        ("text", "positive", "I think so.\nAnswer: **Positive**", True),
        ("text", "positive", "not positive", False),
        ("exact", "a b", "a  b", False),
        ("contains", "straße", "Die STRASSE ist lang", True),
        ("regex", r"^\d{4}-\d{2}-\d{2}$", "2026-11-28", True),
        ("number", "1,234.0", "So it is 7 and then 1234", True),
        ("number", "12", "12 apples, 13 pears", False),
        ("json", '{"a": 1, "b": [2]}', 'Here: {"b": [2], "a": 1} done', True),
        ("json", '{"a": 1}', '{"a": 1, "c": 2}', False),
    ],
)
def test_answers_are_compared_as_asked(match: str, wanted: str, answer: str, *, right: bool) -> None:
    task = TuningTask.model_validate({"input": "q", "expected": wanted, "match": match})
    assert (compare(task, answer).score == 1.0) is right


async def test_a_check_sees_the_answer_and_its_words_are_the_feedback() -> None:
    task = TuningTask(input="q", check="grep -q yes answer.txt || { echo 'say yes'; exit 1; }")
    scorer = AnswerScorer(WorkbenchSettings())
    assert (await scorer.score(task, "yes", draw=0)).score == 1.0
    refused = await scorer.score(task, "no", draw=0)
    assert (refused.score, refused.feedback) == (0.0, "say yes")


async def test_a_check_may_give_part_of_the_score() -> None:
    task = TuningTask(input="q", check="echo 'score: 40%'; exit 1")
    assert (await AnswerScorer(WorkbenchSettings()).score(task, "x", draw=0)).score == pytest.approx(0.4)


async def test_a_check_of_written_files_runs_in_a_copy(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("kept")
    task = TuningTask(
        input="Write m.py", check="python3 -c 'import m; assert m.x == 3' && grep -q kept keep.txt", workspace=tmp_path,
        targets=("m.py",),
    )  # fmt: skip
    answer = "`m.py`\n```python\nx = 3\n```\n"
    assert (await AnswerScorer(WorkbenchSettings()).score(task, answer, draw=0)).score == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep.txt"]


def test_a_file_that_is_no_yaml_is_told_as_that_and_not_as_one_without_tasks(tmp_path: Path) -> None:
    path = tmp_path / "tasks.yaml"
    path.write_text("input: [\n")
    with pytest.raises(ConfigInvalid, match="not valid YAML"):
        load_tasks(path)
