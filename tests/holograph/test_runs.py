import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hal9.clock import ManualClock
from hal9.errors.holograph import RunBusy, RunDiffers, RunNotFound, StoreUnusable
from hal9.errors.minds import MindUnreachable
from hal9.holograph import (
    DiscoveryState,
    MindAnswerer,
    Problem,
    Question,
    Run,
    RunStore,
    Settings,
    Variable,
    discover,
)
from hal9.holograph.queries.answerers import Asked
from hal9.holograph.questions import Answer
from hal9.holograph.runs.mind_answerer import prompt_for
from hal9.holograph.spec import Context
from hal9.minds import Request, ScriptedMind, Usage
from tests.holograph.scripts import EDGES, reply
from tests.support.waiting import eventually_now

NAMES = ("smoke", "lung", "bronc", "xray", "dysp")
PROBLEM = Problem(tuple(Variable(name=n, description=f"about {n}") for n in NAMES), domain="a clinic")
SETTINGS = Settings(budget_queries=40, fit_every=10)


def answerer(store: RunStore | None = None, script: Any = reply) -> MindAnswerer:
    mind = ScriptedMind(
        script, name="doctor", usage=Usage(prompt_tokens=100, completion_tokens=10, usd=0.01, seconds=0.5)
    )
    return MindAnswerer(mind, PROBLEM, store)


def test_a_discovery_through_a_mind_is_written_down_with_its_costs(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.db") as store:
        clock = ManualClock()
        found = asyncio.run(
            discover(DiscoveryState(PROBLEM, SETTINGS), answerer(), run=Run(store, "r"), clock=clock)
        )
        assert found.inquiry.graph().directed == EDGES
        row, counters = store.get("r"), store.counters("r")
        assert row.status == "finished"
        assert row.result is not None
        assert {(e["cause"], e["effect"]) for e in row.result["directed"]} == EDGES
        assert all(e["weight"] > 0.1 and e["probability"] > 0.5 for e in row.result["directed"])
        assert (counters.issued, counters.cached, counters.failed) == (found.asked, 0, 0)
        assert counters.prompt_tokens == 100 * found.asked
        assert counters.usd == pytest.approx(0.01 * found.asked)
        queries = store.queries("r")
        assert len({q["key"] for q in queries}) == len(queries) == found.asked
        assert queries[0]["belief"]["before"] != queries[0]["belief"]["after"]


def test_a_second_run_is_served_from_the_cache_and_says_so(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.db") as store:
        asyncio.run(discover(DiscoveryState(PROBLEM, SETTINGS), answerer(store), run=Run(store, "one")))
        silent = answerer(store, [])
        found = asyncio.run(discover(DiscoveryState(PROBLEM, SETTINGS), silent, run=Run(store, "two")))
        assert found.inquiry.graph().directed == EDGES
        assert (store.counters("two").issued, store.counters("two").cached) == (0, found.asked)
        assert store.counters("two").usd == 0.0


def test_unusable_replies_are_counted_and_never_asked_again(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.db") as store:
        settings = Settings(budget_queries=12, fit_every=0)
        garbage = answerer(script=lambda request: {"verdict": "maybe"})
        found = asyncio.run(discover(DiscoveryState(PROBLEM, settings), garbage, run=Run(store, "r")))
        assert found.asked == 12
        assert store.counters("r").failed == 12
        assert len({q["key"] for q in store.queries("r")}) == 12
        assert found.inquiry.answered == []


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    calls = []

    def fragile(request: Request) -> Any:
        calls.append(request)
        if len(calls) == 8:
            return MindUnreachable(mind="doctor", detail="connection refused")
        return reply(request)

    with RunStore(tmp_path / "runs.db") as store:
        whole = asyncio.run(discover(DiscoveryState(PROBLEM, SETTINGS), answerer(), run=Run(store, "whole")))
        with pytest.raises(MindUnreachable):
            asyncio.run(
                discover(
                    DiscoveryState(PROBLEM, SETTINGS), answerer(script=fragile), run=Run(store, "broken")
                )
            )
        assert store.get("broken").status == "paused"
        assert len(store.queries("broken")) == 7
        before = store.get("broken").elapsed
        found = asyncio.run(discover(DiscoveryState(PROBLEM, SETTINGS), answerer(), run=Run(store, "broken")))
        assert found.asked == whole.asked
        assert [q["key"] for q in store.queries("broken")] == [q["key"] for q in store.queries("whole")]
        assert store.get("broken").elapsed > before
        assert store.get("broken").result == store.get("whole").result
        with pytest.raises(RunDiffers, match="other settings"):
            asyncio.run(discover(DiscoveryState(PROBLEM, Settings()), answerer(), run=Run(store, "broken")))


def test_a_finished_run_named_again_replays_without_costing_time(tmp_path: Path) -> None:
    heard: list[tuple[int, bool]] = []

    def watch(number: int, question: Question, answer: Answer | None, recorded: bool) -> None:
        assert answer is not None
        heard.append((number, recorded))

    with RunStore(tmp_path / "runs.db") as store:
        run = Run(store, "r")
        asked = asyncio.run(
            discover(DiscoveryState(PROBLEM, SETTINGS), answerer(), run=run, watch=watch)
        ).asked
        elapsed = store.get("r").elapsed
        asyncio.run(discover(DiscoveryState(PROBLEM, SETTINGS), answerer(), run=run, watch=watch))
        assert store.get("r").elapsed == elapsed
    numbers = range(1, asked + 1)
    assert heard == [(number, False) for number in numbers] + [(number, True) for number in numbers]


def test_a_store_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="Choose a writable place"):
        RunStore(tmp_path / "file" / "runs.db")


def test_durations_are_kept_over_a_resumption(tmp_path: Path) -> None:
    clock = ManualClock()

    class Slow:
        name = "slow"

        async def ask(self, question: Question) -> Asked:
            clock.advance(3.0)
            return Asked(Answer(question.kind, "unknown"), "issued", question.key, "unknown")

    with RunStore(tmp_path / "runs.db") as store:
        inquiry = DiscoveryState(PROBLEM, Settings(budget_queries=5, fit_every=0))
        asyncio.run(discover(inquiry, Slow(), run=Run(store, "r"), clock=clock))
        assert store.get("r").elapsed == pytest.approx(15.0)
        inquiry = DiscoveryState(PROBLEM, Settings(budget_queries=5, fit_every=0))
        asyncio.run(discover(inquiry, Slow(), run=Run(store, "r"), clock=clock))
        assert store.get("r").elapsed == pytest.approx(15.0)
        assert store.counters("r").seconds == pytest.approx(15.0)


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    with RunStore(tmp_path / "a.db") as store, RunStore(tmp_path / "a.db") as other, store.claim("r"):
        with pytest.raises(RunBusy), other.claim("r"):
            pass
        with other.claim("another"):
            pass


def test_prompts_name_the_variables_in_the_order_asked() -> None:
    contexts = (Context(name="ward", variables=("smoke", "lung"), description="in hospital"),)
    problem = Problem(PROBLEM.variables, contexts, PROBLEM.domain)
    plain = prompt_for(Question("direction", "smoke", "lung", "ward"), problem)
    swapped = prompt_for(Question("direction", "smoke", "lung", "ward", swapped=True), problem)
    assert "Setting ward: in hospital" in plain
    assert plain.index("smoke (about smoke)") < plain.index("lung (about lung)")
    assert swapped.index("lung (about lung)") < swapped.index("smoke (about smoke)")
    discriminator = Question(
        "discriminator", "smoke", "lung", "ward|home", claims=("smoke causes lung", "lung causes smoke")
    )
    assert "In ward, smoke causes lung. In home, lung causes smoke." in prompt_for(discriminator, problem)


VARIABLES = "domain: a clinic\nvariables:\n" + "".join(f"  - {{name: {n}}}\n" for n in NAMES)


def command(folder: Path, *arguments: str, mind: str = "reply") -> list[str]:
    (folder / "v.yaml").write_text(VARIABLES)
    base = [sys.executable, "-m", "hal9.holograph"]
    if arguments[0] == "discover":
        spec = mind if ":" in mind else f"scripted:tests.holograph.scripts:{mind}"
        arguments = (*arguments, "--variables", "v.yaml", "--mind", spec)
    return [*base, *arguments, "--store", "runs.db"]


def holograph(folder: Path, *arguments: str, mind: str = "reply") -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(folder, *arguments, mind=mind),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_discover_show_and_trace_from_the_command_line(tmp_path: Path) -> None:
    made = holograph(tmp_path, "discover", "--run", "clinic", "--svg", "g.svg")
    assert made.returncode == 0, made.stderr
    assert "smoke -> lung" in made.stdout
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    shown = json.loads(holograph(tmp_path, "show", "clinic", "--json").stdout)
    assert shown["status"] == "finished"
    assert shown["counters"]["issued"] == shown["result"]["asked"]
    assert '"smoke" -> "lung"' in holograph(tmp_path, "show", "clinic", "--dot").stdout
    assert "no_direct_effect [issued" in holograph(tmp_path, "trace", "clinic").stdout
    lines = holograph(tmp_path, "trace", "clinic", "--json").stdout.splitlines()
    assert len(lines) == shown["result"]["asked"]
    missing = holograph(tmp_path, "show", "clinics")
    assert missing.returncode == 3
    assert "Did you mean 'clinic'" in missing.stderr


def test_a_killed_run_resumes_with_its_queries_costs_and_timings(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command(tmp_path, "discover", "--run", "k", mind="slow_reply"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:

        def asked() -> int:
            if not (tmp_path / "runs.db").exists():
                return 0
            with RunStore(tmp_path / "runs.db") as store:
                return len(store.queries("k")) if "k" in store.names() else 0

        eventually_now(lambda: asked() >= 4, "four questions were asked", progress=asked)
        process.send_signal(signal.SIGKILL)
    with RunStore(tmp_path / "runs.db") as store:
        kept = store.queries("k")
        elapsed = store.get("k").elapsed
        assert len(kept) >= 4
        assert elapsed >= 0.1 * (len(kept) - 1)
    done = holograph(tmp_path, "discover", "--run", "k", mind="slow_reply")
    assert done.returncode == 0, done.stderr
    with RunStore(tmp_path / "runs.db") as store:
        after = store.queries("k")
        stable = ("seq", "key", "reply", "seconds", "asked_at", "usd")
        assert [[q[f] for f in stable] for q in after[: len(kept)]] == [[q[f] for f in stable] for q in kept]
        assert len(after) > len(kept)
        assert store.get("k").elapsed > elapsed
        assert store.get("k").status == "finished"


@pytest.mark.parametrize(
    ("arguments", "mind", "code", "said"),
    [
        (("--contexts", "none.yaml"), "reply", 3, "none.yaml:1: the file cannot be read"),
        (("--data", "none.csv"), "reply", 3, "cannot be read"),
        ((), "openai:http://127.0.0.1:9/v1#x", 5, "cannot be reached"),
        ((), "scripted:tests.holograph.scripts:nobody", 3, "no mind can be opened"),
    ],
)
def test_bad_input_from_the_command_line(
    tmp_path: Path, arguments: tuple[str, ...], mind: str, code: int, said: str
) -> None:
    failed = holograph(tmp_path, "discover", *arguments, mind=mind)
    assert failed.returncode == code
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_unknown_runs_and_stores_are_typed_errors(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.db") as store, pytest.raises(RunNotFound):
        store.get("x")
    assert holograph(tmp_path, "trace", "x").returncode == 3


def test_contexts_from_the_command_line_say_how_they_glue_and_what_was_guessed(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "contexts:\n  - {name: ward, variables: [smoke, lung, bronc]}\n  - {name: lab, variables: [lung, bronc, xray]}\n"
    )
    made = holograph(tmp_path, "discover", "--run", "two", "--contexts", "c.yaml", "--budget-queries", "12")
    assert made.returncode == 0, made.stderr
    assert "in no context, so nothing is asked about them: dysp" in made.stderr
    assert "/12 direction: lung ? bronc in ward: no_direct_effect" in made.stderr
    assert "contexts disagree by" in made.stdout
    result = json.loads(holograph(tmp_path, "show", "two", "--json").stdout)["result"]
    assert result["gluing"]["invisible"] > 0
    assert result["gluing"]["h1"] == 0
    asked = {frozenset((e["cause"], e["effect"])) for e in result["directed"] if not e["guessed"]}
    assert frozenset(("smoke", "lung")) in asked
    assert all("dysp" not in pair for pair in asked)
    other = holograph(tmp_path, "discover", "--run", "two", "--contexts", "c.yaml", "--embedder", "hashing")
    assert other.returncode == 3
    assert "other" in other.stderr


def test_what_cannot_be_written_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    made = holograph(tmp_path, "discover", "--run", "r", "--svg", "nowhere/g.svg")
    assert made.returncode == 2
    assert "no folder 'nowhere'" in made.stderr
    assert not (tmp_path / "runs.db").exists()
