"""Prompts: byte for byte the bare one without a memory; rule and example in their places with one."""

from pathlib import Path

from hal9.memory import MemoryScope, Recall, SolvedExample
from hal9.neurons import load_neuron, load_neurons
from hal9.neurons.dividing.splitting import part_design
from hal9.neurons.messages.excerpts import Shown, given_file
from hal9.neurons.messages.prompting import (
    ANSWER_SCHEMA,
    FENCED_SCHEMA,
    JSON_SCHEMA,
    compose_implementation,
    compose_tools_task,
    infer_targets,
)
from hal9.promptgram import Promptgram
from hal9.signals import InlineFile, TaskPayload

SHIPPED = Path(__file__).parents[2] / "neurons"
TASK = TaskPayload(objective="Write total(xs) in ledger.py.", check="python check.py")


def recall() -> Recall:
    return Recall(
        rule="Return {'result': value}.",
        example=SolvedExample(task="Write last(xs).", answer="def last(xs): return {'result': xs[-1]}"),
        rule_id=7,
        pattern_id=None,
        scope=MemoryScope(),
        source="user",
        score=1.0,
        similarity=None,
        lower_bound=0.5,
        why="test",
    )


def test_shipped_neurons_load_and_are_stored_as_they_would_be_written() -> None:
    neurons = load_neurons(SHIPPED)
    assert sorted(neuron.meta.layer for neuron in neurons.values()) == [2, 2, 3, 4]
    for neuron in neurons.values():
        assert Promptgram.parse(neuron.promptgram.dump()) == neuron.promptgram


def test_without_a_memory_the_prompt_is_the_bare_one() -> None:
    promptgram = load_neuron(SHIPPED / "l2-implementer.md").promptgram
    bare = compose_implementation(promptgram, TASK, output="fenced")
    assert compose_implementation(promptgram, TASK, output="fenced", recalled=None) == bare
    assert [message.role for message in bare] == ["system", "user"]
    assert bare[1].content == TASK.objective


def test_only_what_has_files_to_write_is_asked_for_files() -> None:
    promptgram = load_neuron(SHIPPED / "l2-implementer.md").promptgram

    def system(output: str = "fenced", **fields: object) -> str:
        task = TaskPayload.model_validate({"objective": "Which is the capital of Peru?", **fields})
        return compose_implementation(promptgram, task, output=output)[0].content

    plain = system()
    assert ANSWER_SCHEMA in plain
    assert FENCED_SCHEMA not in plain
    for fields in (
        {"workspace": "/somewhere"},
        {"check": "test -f answer.txt"},
        {"targets": ["peru.txt"]},
        {"objective": "Write the capital of Peru into peru.txt"},
        {"files": [{"path": "peru.txt", "content": "?"}]},
    ):
        assert FENCED_SCHEMA in system(**fields)
    assert JSON_SCHEMA in system("json")


def test_a_memory_stands_directly_before_the_task_and_its_example_is_a_turn() -> None:
    promptgram = load_neuron(SHIPPED / "l2-implementer.md").promptgram
    bare = compose_implementation(promptgram, TASK, output="fenced")
    told = compose_implementation(promptgram, TASK, output="fenced", recalled=recall())
    assert told[0] == bare[0]
    assert [message.role for message in told] == ["system", "user", "assistant", "user"]
    assert told[1].content == "Write last(xs)."
    assert told[3].content == "Return {'result': value}.\n\n" + bare[1].content


def test_design_files_map_and_evidence_follow_the_task() -> None:
    promptgram = load_neuron(SHIPPED / "l2-implementer.md").promptgram
    task = TASK.model_copy(update={"design": "one function"})
    text = compose_implementation(
        promptgram,
        task,
        output="fenced",
        shown=Shown(map="MAP", excerpts=(given_file(InlineFile(path="ledger.py", content="OLD")),)),
        evidence="x" * 5000 + "AssertionError: 3",
    )[1].content
    positions = [
        text.index(part) for part in (task.objective, "one function", "MAP", "OLD", "AssertionError: 3")
    ]
    assert positions == sorted(positions)
    assert len(text) < 2500


def test_the_colours_of_a_failing_check_are_no_text() -> None:
    promptgram = load_neuron(SHIPPED / "l2-implementer.md").promptgram
    shown = Shown(check="\x1b[31mE   assert\x1b[0m 1 == \x1b[1;32m2\x1b[0m")
    text = compose_tools_task(promptgram, TASK, shown=shown)[1].content
    assert "E   assert 1 == 2" in text
    assert "\x1b" not in text


def test_targets_come_from_the_user_or_from_a_single_named_file() -> None:
    def targets(objective: str, **fields: object) -> tuple[str, ...]:
        return infer_targets(TaskPayload.model_validate({"objective": objective, **fields}))

    assert targets("Write add in src/adder.py.") == ("src/adder.py",)
    assert targets("Fix a.py and b.py") == ()
    assert targets("Make check.py pass by writing x.py", check="python check.py") == ("x.py",)
    assert targets("Say hello, e.g. in French. Version 3.11 matters.") == ()
    assert targets("Anything", targets=["x.py"]) == ("x.py",)


def test_each_part_of_a_split_carries_the_whole_task_within_bounds() -> None:
    task = TaskPayload(objective="Traceback: KeyError 'x' in load()", design="decided above")
    design = part_design(task, "two parts")
    assert [design.index(text) for text in ("decided above", "two parts", "KeyError 'x'")] == sorted(
        design.index(text) for text in ("decided above", "two parts", "KeyError 'x'")
    )
    long = part_design(TaskPayload(objective="begin " + "x" * 50_000 + " end"), "")
    assert len(long) < 6200
    assert "begin" in long
    assert long.endswith("end")
