"""What runs teach: the error a step blames, the state of its files, guards that are right, remedies, advice."""

import pytest

from hal9.ingest import Run, RunStep
from hal9.learning.runs.error_lines import error_line, error_signature
from hal9.learning.runs.features import Feature, command_features
from hal9.learning.runs.run_miner import RunMiner, StepReading
from hal9.learning.runs.run_state import RunState


def step(command: str, code: int | None = 0, output: str = "", *, executed: bool = True) -> RunStep:
    return RunStep(command=command, exit_code=code, output=output, executed=executed)


def run(name: str, *steps: RunStep, repo: str = "a/b") -> Run:
    return Run(id=name, repo=repo, steps=steps)


def kinds(command: str, state: RunState | None = None) -> set[tuple[str, str]]:
    return {(one.kind, one.value) for one in command_features(command, state or RunState())}


NO_PYTEST = "/usr/bin/python3: No module named pytest"


def test_an_exit_code_alone_is_no_error() -> None:
    assert error_line(step("grep x y", 1)) == ""
    assert error_line(step("diff a b", 1, "1c1\n< a\n---\n> b")) == ""
    assert error_line(step("pytest", 0, "ValueError: x")) == ""
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1\ndjango.core.ImproperlyConfigured: no settings'
    assert error_line(step("python a.py", 1, trace)) == "django.core.ImproperlyConfigured: no settings"
    assert error_signature("ValueError: 3 of '/a/b.py'") == error_signature("ValueError: 17 of '/c/d/e.py'")


def test_files_are_followed_and_a_refused_write_leaves_nothing() -> None:
    state = RunState(root="/testbed")
    state.after("cat > a.py <<'EOF'\nx = 1\nEOF", executed=False, exit_code=None)
    assert ("missing-path", "python") in kinds("python a.py", state)
    assert ("missing-path", "python") in kinds("cd /testbed && python a.py", state)
    assert ("missing-path", "rm") in kinds("rm a.py", state)
    assert not any(kind == "missing-path" for kind, _ in kinds("rm -f a.py", state))
    assert not any(kind == "missing-path" for kind, _ in kinds("rm a.py\nls", state)), (
        "its exit code is masked"
    )
    state.after("cat > a.py <<'EOF'\nx = 1\nEOF", executed=True, exit_code=0)
    state.after("cat >> a.py <<'EOF'\nimport numpy\nEOF", executed=True, exit_code=0)
    assert ("import", "numpy") in kinds("python a.py", state)
    state.after("rm /testbed/a.py", executed=True, exit_code=0)
    assert ("missing-path", "cat") in kinds("cat a.py", state)


def test_a_script_that_cannot_be_read_is_seen_before_it_runs() -> None:
    assert ("unreadable-script", "python") in kinds('python -c "class A: pass; class B: pass"')
    assert ("unreadable-script", "python") not in kinds('python -c "print(1)"')
    made = "import sys\nsys.modules['ours'] = 1\nf(APPS=['ours', 'theirs', 'json'])\n"
    found = command_features(f"python <<'EOF'\n{made}EOF", RunState())
    assert [one.subjects for one in found if one.kind == "unknown-name-in-list"] == [("'theirs'",)]


def fired(readings: list[StepReading]) -> list[int]:
    return [one.index for one in readings if one.expected is not None]


def test_a_missing_tool_is_learned_from_earlier_runs_and_only_where_it_is_missing() -> None:
    miner = RunMiner()
    for name in ("1", "2", "3"):
        miner.learn(run(name, step("python3 -m pytest t.py", 1, NO_PYTEST), step("bin/test t.py")))
    assert fired(miner.learn(run("4", step("python3 -m pytest other.py", 1, NO_PYTEST)))) == [0]
    elsewhere = run("5", step("python3 -m pytest t.py"), step("python3 -m pytest u.py"), repo="c/d")
    assert fired(miner.learn(elsewhere)) == []


def test_a_failure_for_another_reason_blames_nothing() -> None:
    miner = RunMiner()
    for name in range(9):
        miner.learn(run(str(name), step("python3 -m build", 1, "ValueError: version is not set")))
    (reading,) = miner.learn(run("x", step("python3 -m build")))
    assert reading.expected is None


def test_what_works_after_all_silences_the_guard() -> None:
    miner = RunMiner()
    for name in range(4):
        miner.learn(run(str(name), step("ed x", 127, "bash: ed: command not found")))
    assert fired(miner.learn(run("5", step("ed x")))) == [0]
    assert fired(miner.learn(run("6", step("ed x")))) == [], "it was installed meanwhile"


def test_a_remedy_names_what_helped_and_fits_its_argument() -> None:
    miner = RunMiner()
    for name in ("one", "two", "three", "four"):
        miner.learn(
            run(
                name,
                step(f"pytest tests/{name}/test_a.py", 127, "bash: pytest: command not found"),
                step(f"tests/run.py {name}.test_a"),
            )
        )
    readings = miner.learn(
        run("five", step("pytest tests/five/test_b.py", 127, "bash: pytest: command not found"))
    )
    case = miner.case("a/b", readings[0])
    assert case is not None
    remedy = miner.remedies.suggest(case)
    assert remedy is not None
    assert remedy.text == "use `tests/run.py five.test_b` instead"
    assert remedy.probability >= 0.65


def test_advice_speaks_of_what_costs_most_and_never_of_more_than_three() -> None:
    miner = RunMiner()
    for name in range(6):
        miner.learn(
            run(
                str(name),
                step("python3 -m pytest x", 1, NO_PYTEST),
                step("ed a", 127, "bash: ed: command not found"),
                step(f"python3 s{name}.py", 1, f"E{name}Error: odd"),
                step("python3 -m pytest y", 1, NO_PYTEST),
            )
        )
    told = miner.advice.advise("a/b")
    assert [one.cause for one in told[:2]] == [("module", "python3 pytest"), ("run", "ed")]
    assert len(told) == 3
    assert NO_PYTEST in told[0].text


@pytest.mark.parametrize(
    "command",
    ["", "'", "$(", "cat <<EOF", "python -c", "python - <<'E'\nx\nE", "((", "rm " + "a " * 5000, "\ud800"],
)
def test_odd_commands_never_fail(command: str) -> None:
    state = RunState()
    assert isinstance(command_features(command, state), tuple)
    state.after(command, executed=True, exit_code=1)
    assert (
        Feature("repeated", "the same command, nothing changed since it failed", ("",))
        in command_features(command, state)
        or state.changes
    )
