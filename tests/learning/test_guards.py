"""Guards: what fires, what is refused, how a firing is counted; and that a guard can never permit anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from hal9.errors.learning import GuardInvalid, GuardUnknown
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.guards.learned_gate import LearnedGate
from hal9.learning.guards.predicate import fires, rewritten
from hal9.learning.guards.remembered import remember_actions, remembered_actions
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import MemoryStore
from hal9.tools.action import Action, ActionContext, ActionOutcome, command_action, file_action
from hal9.tools.policy import GateChain

NO_FORCE = (
    "when: {program: git, subcommand: push, flag: '--force*'}\neffect: require\nsay: Never force a push."
)
NO_PYTEST = "bash: pytest: command not found"


@pytest.mark.parametrize(
    ("yaml", "action", "wanted"),
    [
        (NO_FORCE, command_action("git push --force-with-lease origin main"), True),
        (NO_FORCE, command_action("cd x && git push --force"), True),
        (NO_FORCE, command_action("bash -c 'git push --force'"), True),
        (NO_FORCE, command_action("git push origin main"), False),
        (NO_FORCE, command_action("git commit -m 'push --force'"), False),
        ("when: {path: 'src/gen/*'}\nsay: generated", file_action("write", "src/gen/a.py", text="x"), True),
        ("when: {path: 'src/gen/*'}\nsay: generated", command_action("echo x > src/gen/a.py"), True),
        ("when: {path: 'src/gen/*'}\nsay: generated", file_action("write", "src/a.py", text="x"), False),
        (
            "when: {kind: write, language: py, text: 'import requests'}\nunless: {path: 'tools/*'}\nsay: use httpx",
            file_action("write", "tools/a.py", text="import requests"),
            False,
        ),
        (
            "when: {kind: write, text: 'import requests'}\nunless: {path: 'tools/*'}\nsay: use httpx",
            file_action("write", "src/a.py", text="import requests"),
            True,
        ),
        (
            "when: {kind: answer, text: '^Sorry'}\nsay: no apologies",
            Action(kind="answer", text="Sorry, no"),
            True,
        ),
    ],
)
def test_a_guard_fires_on_what_it_says(yaml: str, action: Action, wanted: bool) -> None:
    assert fires(parse_guard(yaml), action) is wanted


@pytest.mark.parametrize(
    "yaml",
    [
        "", "[]", "say: x", "when: {}\nsay: x", "when: {program: git}", "when: {nonsense: git}\nsay: x",
        "when: {text: '('}\nsay: x", "when: {program: git}\neffect: allow\nsay: x",
        "when: {program: git}\neffect: rewrite\nsay: x", "when: {program: git}\nadd_flag: -q\nsay: x",
        "when: {program: git}\neffect: rewrite\nadd_flag: --force\nsay: x", "{", "when: {program: git}\nrun: rm\nsay: x",
    ],
)  # fmt: skip
def test_what_is_no_guard_is_refused_with_the_place(yaml: str) -> None:
    with pytest.raises(GuardInvalid):
        parse_guard(yaml)


def test_a_rewrite_adds_one_harmless_flag_and_nothing_else() -> None:
    guard = parse_guard("when: {program: git}\neffect: rewrite\nadd_flag: --no-pager\nsay: no pager")
    changed = rewritten(guard, command_action("git log -p"))
    assert changed is not None
    assert (changed.text, changed.arguments["command"]) == ("git --no-pager log -p",) * 2
    for other in ("git log | cat", "git log > x", "sudo git log", "git --no-pager log", "git log; rm x"):
        assert rewritten(guard, command_action(other)) is None


def watch(folder: Path) -> RunWatch:
    return RunWatch.begin("r", RunState(root=str(folder), view=LiveView(root=str(folder))))


def test_a_guard_is_tested_on_remembered_actions_counted_and_demoted(
    store: MemoryStore, tmp_path: Path
) -> None:
    remember_actions(store, [("git push --force", False), ("git push", True)] * 3)
    book = GuardStore(store)
    number = book.add(parse_guard(NO_FORCE), workspace="*", source="user", cause="t")
    assert book.accept(number, remembered_actions(store), cause="t").state == "holds"
    wide = book.add(
        parse_guard("when: {program: git}\neffect: require\nsay: x"), workspace="*", source="u", cause="t"
    )
    assert book.accept(wide, remembered_actions(store), cause="t").state == "reminds"
    book.withdraw(wide, cause="t")
    advisor, run = ActionAdvisor(store), watch(tmp_path)
    for _ in range(2):
        said = advisor.before(command_action("git push --force"), run)
        assert (said.effect, said.reason) == ("refuse", "Never force a push.")
    assert (book.get(number).fired, book.get(number).heeded) == (2, 2)
    for _ in range(6):
        book.count(number, fired=1, overridden=1, wrong=1)
    assert book.get(number).state == "reminds"
    assert advisor.before(command_action("git push --force"), run).effect == "remind"
    with pytest.raises(GuardUnknown):
        book.get(99)


def context(folder: Path, task: str = "t") -> ActionContext:
    return ActionContext(task_id=task, signal_id=task, workspace=str(folder))


async def test_what_failed_in_earlier_runs_is_held_up_once_and_goes_through_when_insisted_on(
    store: MemoryStore, tmp_path: Path
) -> None:
    gate = LearnedGate(ActionAdvisor(store))
    action = command_action("pytest tests/test_a.py")
    failed = ActionOutcome(ok=False, exit_code=127, observation=NO_PYTEST)
    for number in range(4):
        first = await gate.before(action, context(tmp_path, f"t{number}"))
        if first.verdict == "allow":
            await gate.after(action, context(tmp_path, f"t{number}"), first, failed)
    # A process that starts later knows it from the file.
    gate = LearnedGate(ActionAdvisor(store))
    held = await gate.before(action, context(tmp_path, "last"))
    assert held.verdict == "refuse"
    assert NO_PYTEST in held.reason
    assert (await gate.before(action, context(tmp_path, "last"))).verdict == "allow"
    reminding = LearnedGate(ActionAdvisor(store, effect="remind"))
    assert (await reminding.before(action, context(tmp_path, "x"))).verdict == "remind"
    silent = LearnedGate(ActionAdvisor(store, effect="off"))
    assert (await silent.before(action, context(tmp_path, "x"))).verdict == "allow"


async def test_the_files_that_are_really_there_count(store: MemoryStore, tmp_path: Path) -> None:
    advisor, run = ActionAdvisor(store), watch(tmp_path)
    (tmp_path / "a.py").write_text("print(1)\n")
    named = {one.kind for one in advisor.features(command_action("python a.py"), run)}
    assert "missing-path" not in named
    (tmp_path / "a.py").unlink()
    assert "missing-path" in {one.kind for one in advisor.features(command_action("python a.py"), run)}


@pytest.mark.parametrize("broken", ["closed", "odd"])
async def test_a_gate_that_breaks_lets_the_action_through(tmp_path: Path, broken: str) -> None:
    with MemoryStore(tmp_path / "m.db") as opened:
        gate = LearnedGate(ActionAdvisor(opened))
    action = command_action("pytest" if broken == "closed" else "\x00\ud800 $((")
    decision = await gate.before(action, context(tmp_path))
    assert decision.verdict == "allow"
    await gate.after(action, context(tmp_path), decision, ActionOutcome(ok=True, exit_code=0))


async def test_no_guard_can_turn_a_refusal_into_anything_else(store: MemoryStore, tmp_path: Path) -> None:
    """Beside a policy that refuses everything, whatever guards hold, nothing is permitted, rewritten or hidden."""
    from hal9.tools.action import Decision

    class Refuses:
        async def before(self, action: Action, context: ActionContext) -> Decision:
            return Decision(verdict="refuse", reason="policy", source="policy:all")

        async def after(self, *rest: object) -> None:
            return None

    book = GuardStore(store)
    for yaml in (
        "when: {program: '*'}\nsay: a",
        "when: {program: '*'}\neffect: require-once\nsay: b",
        "when: {program: '*'}\neffect: rewrite\nadd_flag: -q\nsay: c",
    ):
        book.accept(book.add(parse_guard(yaml), workspace="*", source="u", cause="t"), [], cause="t")
    chain = GateChain([Refuses(), LearnedGate(ActionAdvisor(store))])
    for command in ("ls", "rm -rf x", "git push --force", "a | b", "\x00"):
        for _ in range(3):
            decision = await chain.before(command_action(command), context(tmp_path))
            assert (decision.verdict, decision.source, decision.action) == ("refuse", "policy:all", None)
    assert replace(context(tmp_path)).workspace == str(tmp_path)
