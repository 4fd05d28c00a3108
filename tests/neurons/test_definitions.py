"""Neurons as they are described: every mistake at once, in Markdown and in Python, and who suits a task."""

from pathlib import Path

import pytest

from hal9.errors.neurons import NeuronInvalid, NeuronUnknownTarget
from hal9.neurons import NeuronMeta, known_purposes, load_neuron, load_neurons
from hal9.neurons.dividing.suiting import suited
from hal9.signals import TaskPayload
from scripts.reference import PAGE, made

PLAIN = '+++\nid = "{name}"\nversion = 1\nlayer = {layer}\n{more}+++\n\n## Role\n\nYou work.\n'


def write(folder: Path, name: str, more: str = "", *, layer: int = 2) -> Path:
    path = folder / f"{name}.md"
    path.write_text(PLAIN.format(name=name, layer=layer, more=more))
    return path


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "l2-x", 'temprature = 1\nwidth = 99\ntools = ["sudo"]\nmode = "fast"\n')
    with pytest.raises(NeuronInvalid) as caught:
        load_neuron(path)
    text = str(caught.value)
    assert "'temprature' is unknown; did you mean 'temperature'?" in text
    assert "'width': input should be less than or equal to 16, not 99" in text
    assert "'tools.0'" in text and "sudo" in text
    assert "'mode'" in text and "fast" in text


def test_whom_it_passes_work_on_to_must_exist(tmp_path: Path) -> None:
    write(tmp_path, "l3-x", 'next = ["l2-y"]\n', layer=3)
    with pytest.raises(NeuronUnknownTarget, match="l2-y"):
        load_neurons(tmp_path)
    write(tmp_path, "l2-y")
    assert set(load_neurons(tmp_path, enabled=["l3-*"])) == {"l3-x"}, "it may run elsewhere"


def test_a_python_file_defines_neurons_with_functions_as_tools(tmp_path: Path) -> None:
    (tmp_path / "sql.py").write_text(
        "from hal9 import Neuron, Workspace, tool\n"
        "@tool(permission='read')\n"
        "def size(path: str, folder: Workspace, deep: bool = False) -> int:\n"
        "    'How large a file is.'\n"
        "    return (folder / path).stat().st_size\n"
        "async def shout(words: str) -> str:\n"
        "    'Loudly.'\n"
        "    return words.upper()\n"
        "a = Neuron(name='l2-sql', tools=['read', size, shout], prompt='You write SQL.')\n"
        "b = Neuron(name='l3-plan', layer=3, next=('l2-sql',), prompt='## Role\\n\\nPlan.\\n\\n## Policy\\n\\n- Think.\\n')\n"
    )
    found = load_neurons(tmp_path)
    assert set(found) == {"l2-sql", "l3-plan"}
    assert found["l3-plan"].promptgram.items("Policy") == ("Think.",) or found["l3-plan"].promptgram.policy
    sql = found["l2-sql"]
    assert (sql.meta.tools, sql.meta.mode) == (("read",), "tools")
    size, shout = sql.own_tools(tmp_path)
    assert (size.name, size.permission, shout.permission) == ("size", "read", "none")
    assert list(size.spec.schema["properties"]) == ["path", "deep"], "the folder is not the model's to choose"
    assert size.spec.description == "How large a file is."


async def test_what_a_function_returns_or_raises_is_what_the_model_reads(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "import time\n"
        "from hal9 import Neuron, Workspace\n"
        "def size(path: str, folder: Workspace) -> int:\n"
        "    return (folder / path).stat().st_size\n"
        "def slow() -> None:\n"
        "    time.sleep(0.4)\n"
        "n = Neuron(name='l2-x', tools=[size, slow], timeout=0.1, prompt='You work.')\n"
    )
    size, slow = load_neurons(tmp_path)["l2-x"].own_tools(tmp_path)
    seen = await size.run(**size.accept({"path": "x.py"}))
    assert seen.ok and int(seen.text) > 100
    missing = await size.run(**size.accept({"path": "y.py"}))
    assert not missing.ok and missing.text.startswith("FileNotFoundError")
    late = await slow.run()
    assert not late.ok and "did not end" in late.text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\n", "defines no Neuron"),
        ("import nowhere_at_all\n", r"No module named 'nowhere_at_all' \(line 1\)"),
        ("\ndef f(:\n", "SyntaxError"),
        (
            "from hal9 import Neuron\nn = Neuron(name='L 2', layer=9, prompt='')\n",
            "'layer'.*'name'.*'prompt'",
        ),
        (
            "from hal9 import Neuron\nn = Neuron(name='l2-a', prompt='x', tools=[lambda a: a])\n",
            "no annotation",
        ),
        ("from hal9 import Neuron\nn = Neuron(name='l3-a', layer=3, prompt='x', tools=[print])\n", "layer 2"),
    ],
)
def test_mistakes_in_python_are_one_sentence(tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "x.py").write_text(code)
    with pytest.raises(NeuronInvalid, match=told):
        load_neurons(tmp_path)


def test_a_name_that_two_files_describe_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, "l2-a")
    (tmp_path / "other.py").write_text("from hal9 import Neuron\nn = Neuron(name='l2-a', prompt='x')\n")
    with pytest.raises(NeuronInvalid, match="is described in"):
        load_neurons(tmp_path)


def meta(**values: object) -> NeuronMeta:
    return NeuronMeta.model_validate({"layer": 2, **values})


PURPOSES = {
    "l2-sql": meta(files=("*.sql",), description="writes database queries"),
    "l2-docs": meta(files=("docs/*", "*.md")),
    "l2-any": meta(),
}


@pytest.mark.parametrize(
    ("objective", "targets", "wanted"),
    [
        ("Speed up report.sql", [], ("l2-sql",)),
        ("Mend it", ["db/Report.SQL"], ("l2-sql",)),
        ("Write fib(n) in fib.py", [], ("l2-any",)),
        ("Explain docs/usage.md and sum.sql", [], ("l2-docs", "l2-sql")),
        ("Which database queries are slow?", [], ("l2-any", "l2-sql")),
        ("Welche SQL-Abfrage ist langsam?", [], ("l2-any", "l2-sql")),
        ("What is a mutex?", [], ("l2-any",)),
    ],
)
def test_specialists_get_what_they_are_for(
    objective: str, targets: list[str], wanted: tuple[str, ...]
) -> None:
    task = TaskPayload(objective=objective, targets=targets)
    assert suited(PURPOSES, task, PURPOSES) == wanted


def test_a_task_that_suits_nobody_goes_to_anybody() -> None:
    only = {name: PURPOSES[name] for name in ("l2-sql", "l2-docs")}
    assert suited(only, TaskPayload(objective="Write fib.py"), only) == ("l2-docs", "l2-sql")
    assert suited(["elsewhere"], TaskPayload(objective="x"), {}) == ("elsewhere",)


def test_the_reference_page_shows_the_keys_that_are_checked(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert made(text) == text, "python scripts/reference.py writes it anew"
    for name in NeuronMeta.model_fields:
        assert f"| `{name}` |" in text


def test_purposes_are_known_beside_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "l2-a", 'description = "sums"\n')
    (tmp_path / "l2-b.md").write_text("nothing")
    assert {name: one.description for name, one in known_purposes(tmp_path).items()} == {"l2-a": "sums"}
