"""Guards that a correction's words allow: offered with what they would have stopped, never guessed into force."""

from pathlib import Path

import pytest

from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.guards.offering import offer_for, offered_guard
from hal9.learning.guards.predicate import fires
from hal9.learning.guards.remembered import remember_actions
from hal9.learning.rules.taught import teach
from hal9.memory import EVERYWHERE, MemoryScope, MemoryStore
from hal9.tools.action import Action, command_action, file_action


def act(text: str) -> Action:
    """`write PATH`, or a command."""
    if text.startswith("write "):
        return file_action("write", text.removeprefix("write "), text="x = 1\n")
    return command_action(text)


@pytest.mark.parametrize(
    ("rule", "stopped", "free"),
    [
        ("never use pip, use uv", ["pip install x", "cd a && pip list"], ["uv pip install x", "echo pip"]),
        ("Please use uv instead of pip.", ["pip install x"], ["uv add x"]),
        ("we run tests with tox, not pytest", ["pytest -q"], ["tox"]),
        ("bitte uv statt pip verwenden", ["pip install x"], ["uv add x"]),
        ("ne jamais utiliser pip", ["pip install x"], ["uv add x"]),
        ("no usar npm", ["npm install"], ["pnpm install"]),
        ("Never run `git push --force`.", ["git push --force"], ["git push", "git status"]),
        ("don't use git stash here", ["git stash"], ["git status"]),
        ("never use sudo", ["sudo rm x"], ["rm x"]),
        ("don't touch generated/", ["write generated/a/b.py", "write /w/generated/a.py"], ["write src/a.py"]),
        ("Never edit anything in src/vendor/", ["write src/vendor/x.c"], ["write src/x.c"]),
        ("do not change poetry.lock", ["write poetry.lock"], ["write poetry.toml"]),
        (
            "tests go under tests/",
            ["write src/test_a.py", "write test_b.py"],
            ["write tests/test_a.py", "write a.py"],
        ),
        ("All new tests belong in tests/unit/", ["write tests/test_a.py"], ["write tests/unit/test_a.py"]),
    ],
)
def test_a_rule_that_can_be_checked_offers_its_guard(rule: str, stopped: list[str], free: list[str]) -> None:
    guard = offered_guard(rule)
    assert guard is not None
    assert [text for text in stopped if not fires(guard, act(text))] == []
    assert [text for text in free if fires(guard, act(text))] == []
    assert guard.say == rule


@pytest.mark.parametrize(
    "rule",
    [
        "never use floats for money",
        "dates as DD.MM.YYYY",
        "use type hints, not comments",
        "we always write docstrings",
        "do not use abbreviations in names",
        "don't run in circles",
        "amounts go into whole cents",
        "Never change the tone of the text",
        "Datumsangaben bitte als TT.MM.JJJJ",
        "",
    ],
)
def test_what_cannot_be_checked_stays_a_sentence(rule: str) -> None:
    assert offered_guard(rule) is None


def test_one_command_lets_an_offered_guard_hold_and_one_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from hal9.cli.app import cli
    from hal9.cluster import init_home

    home = init_home(tmp_path / "home")
    home.make_state()
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    first = run(cli, ["--home", str(home.root), "remember", "never use pip, use uv"])
    assert "hal9 rules enforce 1" in first.output
    with MemoryStore(home.memory) as store:
        remember_actions(store, [("pip install a", False)])
    held = run(cli, ["--home", str(home.root), "rules", "enforce", "1"])
    assert "would have stopped: 'pip install a' (failed)" in held.output
    assert "guard 1 holds" in held.output
    assert run(cli, ["--home", str(home.root), "remember", "dates as DD.MM.YYYY"]).exit_code == 0
    refused = run(cli, ["--home", str(home.root), "rules", "enforce", "2"], standalone_mode=False)
    assert "nothing that can be checked" in refused.output
    run(cli, ["--home", str(home.root), "rules", "unguard", "1"])
    with MemoryStore(home.memory) as store:
        assert [one.state for one in GuardStore(store).all()] == ["withdrawn"]


def test_an_offer_tells_what_it_would_have_stopped_and_holds_nothing_up(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        remember_actions(store, [("pip install a", False), ("pip list", True), ("ls", True)])
        number, said = teach(store, "never use pip, use uv", MemoryScope("/w", place=EVERYWHERE), cause="t")
        assert number is not None
        assert any(
            f"hal9 rules enforce {number}" in line and "2 of 3" in line and "1 of them" in line
            for line in said
        )
        assert GuardStore(store).all() == []
        offer = offer_for(store, "never use pip, use uv")
        assert offer is not None
        assert [action.text for action, _ in offer.fired] == ["pip install a", "pip list"]
