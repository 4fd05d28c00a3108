"""What is shown of a repository: failing lines, likely bodies, and always how much of the file that is."""

import pytest

from hal9.neurons.messages.excerpts import SymbolPlace, choose_excerpts, frames_of

FILES = {
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
    chosen = await choose_excerpts(
        read,
        room=4000,
        named=("small.py", "gone.py"),
        evidence='File "/ws/pkg/core.py", line 100\ntests/test_core.py:50: E',
        symbols=[SymbolPlace("pkg/core.py", "f", 110, 120), SymbolPlace("pkg/core.py", "g", 200, 210)],
        roots=("/ws",),
    )
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
    chosen = await choose_excerpts(read, room=1000, named=("pkg/core.py",))
    assert [(one.start, one.end, one.whole) for one in chosen] == [(1, 40, False)]
    assert sum(len(one.text) for one in chosen) <= 1000
