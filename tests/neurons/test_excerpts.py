"""What is shown of a repository: failing lines, likely bodies, and always how much of the file that is."""

import pytest

from hal9.neurons.messages.excerpts import Excerpt, Shown, choose_excerpts, frames_of
from hal9.neurons.messages.likely_bodies import SymbolPlace

SHOP = "".join(
    f"def {name}(x):\n    return {called}(x) + 1\n\n\n\n\n\n"
    for name, called in [("price", "tax"), ("tax", "int"), ("stock", "int"), ("label", "str")]
)
FILES = {
    "shop.py": SHOP,
    "far.py": "def rate(x):\n    return x\n",
    "tests/test_shop.py": "def test_price():\n    assert price(1) == 3\n",
    "pkg/core.py": "".join(f"line {number}\n" for number in range(1, 301)),
    "tests/test_core.py": "".join(f"test {number}\n" for number in range(1, 101)),
    "small.py": "a = 1\nb = 2\n",
}


async def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ('  File "/ws/pkg/core.py", line 12, in f\n', [("pkg/core.py", 12)]),
        ("pkg/core.py:40: AssertionError", [("pkg/core.py", 40)]),
        ("    at Object.f (/ws/src/app.js:7:13)\n", [("src/app.js", 7)]),
        ("error[E0308]\n  --> src/main.rs:4:5\n", [("src/main.rs", 4)]),
        ("main.go:12:3: undefined: x", [("main.go", 12)]),
        ('File "/usr/lib/python3/site-packages/x.py", line 3', []),
        ("at 12:30 nothing happened", []),
    ],
)
def test_places_that_an_output_names(output: str, found: list[tuple[str, int]]) -> None:
    assert frames_of(output, ["/ws"]) == found


async def test_bodies_and_failing_lines_are_shown_and_say_that_they_are_parts() -> None:
    choice = await choose_excerpts(
        read,
        room=4000,
        named=("small.py", "gone.py"),
        evidence='File "/ws/pkg/core.py", line 100\ntests/test_core.py:50: E',
        symbols=[SymbolPlace("pkg/core.py", "f", 110, 120), SymbolPlace("pkg/core.py", "g", 200, 210)],
        roots=("/ws",),
    )
    chosen = choice.excerpts
    places = [(one.path, one.start, one.end, one.whole) for one in chosen]
    assert places == [
        ("small.py", 1, 2, True),
        ("pkg/core.py", 75, 120, False),
        ("pkg/core.py", 200, 210, False),
        ("tests/test_core.py", 25, 65, False),
    ]
    assert "lines 75-120 of 300 (not the whole file)" in chosen[1].shown()
    assert "not the whole" not in chosen[0].shown()


async def test_a_file_too_long_is_never_shown_as_if_it_were_whole() -> None:
    chosen = (await choose_excerpts(read, room=1000, named=("pkg/core.py",))).excerpts
    assert [(one.start, one.end, one.whole) for one in chosen] == [(1, 40, False)]
    assert sum(len(one.text) for one in chosen) <= 1000


def place(name: str, path: str = "shop.py") -> SymbolPlace:
    start = SHOP[: SHOP.index(f"def {name}(")].count("\n") + 1 if path == "shop.py" else 1
    return SymbolPlace(path, name, start, start + 1)


RANKED = [
    place("test_price", "tests/test_shop.py"), place("label"), place("stock"), place("tax"), place("price"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "evidence"),
    [
        ("price(2) gives 2, it should be 4", ""),
        ("`price` is wrong", ""),
        ("the prices are wrong", ""),
        ("it fails", ">       assert shop.price(1) == 3\nE       assert 1 == 3"),
    ],
)
async def test_what_is_called_by_its_name_and_what_that_calls_come_before_the_maps_best(
    task: str, evidence: str
) -> None:
    choice = await choose_excerpts(read, room=120, task=task, evidence=evidence, symbols=RANKED)
    shown = "\n".join(one.text for one in choice.excerpts)
    assert choice.named
    assert "def price" in shown
    assert "def tax" in shown
    assert "def label" not in shown
    assert "test_price" not in shown


async def test_where_nothing_is_named_the_maps_best_are_shown_without_tests() -> None:
    choice = await choose_excerpts(read, room=60, task="make it quick", symbols=RANKED)
    assert not choice.named
    assert [one.text.split("(")[0] for one in choice.excerpts] == ["def label"]


async def test_a_name_that_many_carry_names_nobody() -> None:
    many = [SymbolPlace("far.py", f"Class{number}.get", 1, 2) for number in range(4)]
    choice = await choose_excerpts(read, room=500, task="get() is slow", symbols=many)
    assert not choice.named


async def test_what_stands_in_another_file_is_found_when_its_name_is_its_own() -> None:
    symbols = [place("label"), SymbolPlace("far.py", "rate", 1, 2)]
    choice = await choose_excerpts(read, room=500, task="rate() and label() differ", symbols=symbols)
    assert [one.path for one in choice.excerpts] == ["far.py", "shop.py"]


async def test_a_test_file_that_only_the_check_names_takes_no_room_from_code() -> None:
    long_test = "tests/test_core.py"
    choice = await choose_excerpts(read, room=400, check_named=(long_test,), task="x", symbols=[place("tax")])
    assert [one.path for one in choice.excerpts] == ["shop.py"]


def test_parts_of_one_file_stand_under_one_heading() -> None:
    parts = (Excerpt("a.py", 1, 2, 90, "x"), Excerpt("a.py", 50, 60, 90, "y"), Excerpt("b.py", 1, 1, 1, "z"))
    heads = [text.split("\n")[0] for text in Shown(excerpts=parts).files()]
    assert heads == [
        "The file a.py now, lines 1-2 of 90 (not the whole file):", "lines 50-60 of it:", "The file b.py now:",
    ]  # fmt: skip
