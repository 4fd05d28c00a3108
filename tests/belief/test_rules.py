"""The rules one by one: signals, races, forks, tokens, the cap, the fixed loop, other processes, pictures."""

import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.belief import (
    Choice,
    Config,
    ConfigSpace,
    Evidence,
    LocalHost,
    NodeState,
    PipeHost,
    Policy,
    Population,
    PromptgramSpace,
    Signal,
    TurnContext,
    TurnReply,
    TurnRequest,
    sign_test,
    take_turn,
)
from hal9.belief.pictures import draw_genealogy, draw_scores
from hal9.belief.synthetic_problems import RandomMutation, SyntheticProblem, peaks, rugged
from hal9.errors.belief import BeliefMergeConflict, BeliefSignalInvalid, EvaluationIncomplete, NodeHostFailed
from hal9.promptgram import Edit, Promptgram
from tests.belief.support import bench_of, log_of, population_on, run_on

# --- signals ---


def learner(land: SyntheticProblem) -> NodeState:
    return NodeState(id="n", belief=ConfigSpace().encode(land.start), belief_hash="h", niche=list(land.items))


def suggestion(number: int, source: str, *, version: int = 0, origin: str = "", value: int = 3) -> Signal:
    return Signal(
        id=f"{source}:{number}",
        kind="suggestion",
        source=source,
        target="n",
        version=version,
        origin=origin,
        section="s1",
        edit_hash=f"s1={value}",
        edit={"name": "s1", "value": value},
        gain=0.1,
    )


def test_an_echo_is_no_new_evidence_and_stale_signals_are_dropped() -> None:
    state = learner(rugged(0))
    assert state.receive(suggestion(1, "a"), 0.3, 0.05) is None
    before = state.ideas["s1=3"].log_odds
    assert state.receive(suggestion(2, "a"), 0.3, 0.05) == "heard before"
    assert state.receive(suggestion(3, "b", origin="a"), 0.3, 0.05) == "heard before"
    assert state.receive(suggestion(4, "b", version=7), 0.3, 0.05) == "stale version"
    assert state.ideas["s1=3"].log_odds == before


def test_log_odds_follow_the_senders_record_and_are_damped() -> None:
    state = learner(rugged(0))
    state.record = {"good": (8, 8), "bad": (0, 8)}
    state.receive(suggestion(1, "good"), 0.3, 0.05)
    assert state.ideas["s1=3"].log_odds == pytest.approx(0.7 * np.log(9))
    state.receive(suggestion(1, "bad"), 0.3, 0.05)
    assert state.ideas["s1=3"].log_odds == pytest.approx(0)
    assert state.ideas["s1=3"].senders == ["good", "bad"]
    veto = Signal(id="v", kind="veto", source="good", target="n", section="s1", edit_hash="s1=3")
    assert state.receive(veto, 0.3, 0.05) is None
    assert state.ideas["s1=3"].log_odds < 0


async def turn_of(
    state: NodeState, inbox: list[Signal], land: SyntheticProblem, neighbours: tuple[str, ...]
) -> TurnReply:
    bench = TurnContext(space=ConfigSpace(), evaluator=land, policy=Policy(), proposer=None)
    request = TurnRequest(state=state, inbox=tuple(inbox), neighbours=neighbours, seed=1, allowance=1000)
    return await take_turn(request, bench)


async def test_a_suggestion_is_never_sent_back_and_hops_end() -> None:
    land = peaks(1, 0)
    section = land.names[1]
    top = int(land.effects[0, 1].argmax())
    edit = {"name": section, "value": top}

    def heard(hops: int) -> Signal:
        return Signal(
            id="a:1", kind="suggestion", source="a", target="n", section=section, hops=hops, origin="o",
            edit_hash=f"{section}={top}", edit=edit, gain=0.1,
        )  # fmt: skip

    reply = await turn_of(learner(land), [heard(0)], land, ("a", "b", "o"))
    assert reply.trial is not None
    assert reply.trial[1] == "won"
    passed = [s for s in reply.outbox if s.kind == "suggestion"]
    assert [(s.target, s.hops, s.origin, s.cause) for s in passed] == [("b", 1, "o", "a:1")]
    assert {s.target for s in reply.outbox if s.kind == "metric"} == {"a", "b", "o"}
    assert [(s.target, s.accepted) for s in reply.outbox if s.kind == "ack"] == [("a", True)]
    last = await turn_of(learner(land), [heard(3)], land, ("a", "b", "o"))
    assert not [s for s in last.outbox if s.kind == "suggestion"]


async def test_order_of_delivery_does_not_matter() -> None:
    land = rugged(4)
    mail = [suggestion(1, "a"), suggestion(1, "b", value=5), suggestion(1, "c", value=7), suggestion(2, "c")]
    replies = [await turn_of(learner(land), box, land, ("a", "b", "c")) for box in (mail, mail[::-1])]
    assert replies[0] == replies[1]


async def test_a_harmful_suggestion_is_vetoed_with_the_items_it_hurt() -> None:
    land = peaks(1, 0)
    for index, name in enumerate(land.names):
        best = Config(tuple((n, int(land.effects[0, i].argmax())) for i, n in enumerate(land.names)))
        state = learner(land)
        state.belief = ConfigSpace().encode(best)
        bad = Signal(
            id="a:1", kind="suggestion", source="a", target="n", section=name, edit_hash=f"{name}=0",
            edit={"name": name, "value": 0}, gain=0.1,
        )  # fmt: skip
        reply = await turn_of(state, [bad], land, ("a",))
        veto = next(s for s in reply.outbox if s.kind == "veto")
        assert (veto.target, veto.edit_hash) == ("a", f"{name}=0")
        assert len(veto.scores) == 6
        assert all(loss == pytest.approx(-1 / 6) for loss in veto.scores.values())
        assert index < 6


def test_signals_and_states_survive_the_wire_and_nonsense_is_refused() -> None:
    signal = suggestion(1, "a")
    assert Signal.from_json(json.loads(json.dumps(signal.to_json()))) == signal
    for bad in ({**signal.to_json(), "kind": "shout"}, {**signal.to_json(), "more": 1}, {"id": "x"}):
        with pytest.raises(BeliefSignalInvalid):
            Signal.from_json(bad)
    state = learner(rugged(0))
    state.receive(signal, 0.3, 0.05)
    assert NodeState.from_json(json.loads(json.dumps(state.to_json()))) == state
    with pytest.raises(BeliefSignalInvalid):
        NodeState.from_json({"id": "x"})


# --- evidence ---


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_evidence_is_mean_and_variance(values: list[float]) -> None:
    evidence = Evidence()
    for value in values:
        evidence.add({"i": value}, ["i"])
    assert evidence.mean("i") == pytest.approx(np.mean(values), abs=1e-9)
    if len(values) > 1:
        assert evidence.noise_variance() == pytest.approx(np.var(values, ddof=1), abs=1e-7)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_evaluators_must_score_every_item() -> None:
    with pytest.raises(EvaluationIncomplete, match="b, c"):
        Evidence().add({"a": 1.0, "b": float("nan")}, ["a", "b", "c"])


def test_sign_test_is_the_exact_binomial() -> None:
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 5) == pytest.approx(2 / 32)
    assert sign_test(9, 1) == pytest.approx(2 * 11 / 1024)


# --- cap, tokens, items ---


class Unruly:
    """A host whose nodes ask for forks at every turn and take over any merge or duel at random."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.count = 0

    async def turn(self, request: TurnRequest) -> TurnReply:
        state, out = request.state.copy(), []
        for job in request.inbox:
            if job.source == "population":
                yes = bool(self.rng.random() < 0.4)
                out.append(
                    Signal(id=state.next_id(), kind="ack", source=state.id, target="population", cause=job.id,
                           accepted=yes, edit_hash=job.edit_hash)
                )  # fmt: skip
        for _ in range(int(self.rng.integers(0, 4))):
            self.count += 1
            value = int(self.rng.integers(0, 40))
            out.append(
                Signal(
                    id=state.next_id(), kind="fork", source=state.id, target="population",
                    belief={"s0": value},
                    other=f"h{value}", edit={"base": state.belief, "evidence": {}},
                    scores={item: float(self.rng.normal()) for item in state.niche},
                )
            )  # fmt: skip
        state.wins += 1
        return TurnReply(state=state, outbox=tuple(out), spent=1, trial=("x", "lost", 0.0))


async def unruly_run(seed: int) -> int:
    rng = np.random.default_rng(seed)
    cap = int(rng.integers(1, 20))
    items = tuple(f"i{n}" for n in range(int(rng.integers(1, 80))))
    policy = Policy(cap=cap, min_wins=1, merge_every=int(rng.integers(1, 4)), patience=60)
    population = Population(ConfigSpace(), items, Unruly(seed), policy=policy, seed=seed, budget=200)
    population.add("root", Config.of(s0=0))
    most = 0
    for _ in range(12):
        await population.step()
        living = population.learners()
        most = max(most, len(living))
        assert len(living) <= cap
        assert len(living) == len(population.genealogy.living())
        assert sum(population.tokens.values(), Fraction(0)) == 1
        assert sorted(i for node in living for i in population.niches[node]) == sorted(items)
    assert set(population.genealogy.births) >= set(population.nodes)
    return most


async def test_the_population_never_passes_its_cap() -> None:
    most = [await unruly_run(seed) for seed in range(150)]
    assert max(most) > 4


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_population_never_passes_its_cap_in_ten_thousand_runs() -> None:
    for seed in range(10_000):
        await unruly_run(seed)


# --- the fixed loop L2 -> L1 -> L0 ---


class Ordered:
    """An outer mind that proposes one edit at a time, in a fixed order, none twice for one belief."""

    async def propose(
        self, belief: Config, evidence: Evidence, tried: frozenset[str], count: int, seed: int
    ) -> Sequence[Choice]:
        options = [Choice(name, value) for name, held in belief.values for value in range(5) if value != held]
        return [edit for edit in options if f"{edit.name}={edit.value}" not in tried][:1]


async def plain_loop(land: SyntheticProblem) -> tuple[Config, list[tuple[str, bool]]]:
    """L2 proposes, L1 takes it over, L0 is run; kept if the mean is better. No belief is gone back to."""
    belief, space, outer = land.start, ConfigSpace(), Ordered()
    refused: set[str] = set()
    left: set[Config] = set()
    history = []
    while ideas := await outer.propose(belief, Evidence(), frozenset(refused), 1, 0):
        candidate = space.apply(belief, ideas[0])
        if candidate in left:
            refused.add(space.edit_hash(ideas[0]))
            continue
        better = land.mean(candidate) > land.mean(belief) + 1e-12
        history.append((space.edit_hash(ideas[0]), better))
        if better:
            left.add(belief)
            belief, refused = candidate, set()
        else:
            refused.add(space.edit_hash(ideas[0]))
    return belief, history


async def test_a_fixed_topology_without_forks_is_the_plain_loop() -> None:
    for seed in range(3):
        land = rugged(seed, sections=4, variants=5, items=24)
        # One stage (all items) and no return of refused edits by themselves: as the plain loop has it.
        policy = Policy(forks=False, stages=(), drop=0, retry=1.0, trips=0, proposals=1, patience=10_000)
        bench = TurnContext(space=ConfigSpace(), evaluator=land, policy=policy, advice={"l2": Ordered()})
        population = Population(bench.space, land.items, LocalHost(bench), policy=policy, budget=10**6)
        population.add("l1", land.start)
        population.add("l2", land.start, role="advisor", neighbours=["l1"])
        outcome = await population.run()
        belief, history = await plain_loop(land)
        trials = [e.facts["trial"] for e in population.log if e.what == "turn" and e.facts["trial"]]
        assert [(t[0], t[1] == "won") for t in trials] == history
        assert outcome.winner.belief == belief
        assert outcome.reason == "equilibrium"
        assert {e.what for e in population.log} >= {"need", "suggestion", "ack", "metric", "turn", "stop"}


# --- nodes in other processes ---


async def test_a_node_in_another_process_behaves_to_the_letter() -> None:
    policy = Policy(patience=300)
    what = {"policy": policy.to_json(), "make": "peaks", "args": [2, 1], "options": {"noise": 0.05}}
    local, outcome = await run_on(peaks(2, 1, noise=0.05), seed=3, budget=2500, policy=policy)
    command = [sys.executable, "-m", "tests.belief.pipe_child", json.dumps(what)]
    async with PipeHost(command) as host:
        remote = population_on(peaks(2, 1, noise=0.05), seed=3, budget=2500, policy=policy, host=host)
        assert await remote.run() == outcome
    assert log_of(remote) == log_of(local)


async def test_a_host_that_dies_or_talks_nonsense_leaves_the_population_as_it_was() -> None:
    land = rugged(1)
    for script, says in (
        ("", "ended without an answer"),
        ("print('hello')", "no JSON"),
        ("print('{}')", "turn reply"),
    ):
        async with PipeHost([sys.executable, "-c", f"input(); {script or 'pass'}"]) as host:
            population = population_on(land, seed=1, budget=500, host=host)
            before = population.nodes["root"].to_json()
            with pytest.raises((NodeHostFailed, BeliefSignalInvalid), match=says):
                await population.step()
        assert population.nodes["root"].to_json() == before
        assert population.spent == 0
        population.hosts = {"": LocalHost(bench_of(land, population.policy))}
        assert (await population.run()).spent > 0


# --- promptgrams as beliefs ---

GRAM = Promptgram(id="l1", role="You rank.", heuristics=("- Prefer roots.",))


class Words:
    """Scores a promptgram by the good words it has; half of the items like one word, half another."""

    items = tuple(f"q{n}" for n in range(20))
    deterministic = True

    async def evaluate(self, belief: Promptgram, items: Sequence[str], draw: int) -> Mapping[str, float]:
        text = belief.section("Heuristics")
        score = 0.3 * ("tests" in text) + 0.2 * ("callers" in text) - 0.1 * ("luck" in text)
        return dict.fromkeys(items, score)


class WordIdeas:
    async def propose(
        self, belief: Promptgram, evidence: Evidence, tried: frozenset[str], count: int, seed: int
    ) -> Sequence[Edit]:
        said = ["Trust luck.", "Look at tests first.", "Follow callers."]
        edits = [Edit("Heuristics", "append", content=text) for text in said]
        edits.append(Edit("Role", "append", content="Obey."))
        new = [e for e in edits if e.edit_hash not in tried and e.content not in belief.section("Heuristics")]
        return new[:count]


async def test_promptgrams_improve_by_measured_edits_only() -> None:
    words = Words()
    bench = TurnContext(space=PromptgramSpace(), evaluator=words, policy=Policy(), proposer=WordIdeas())
    population = Population(bench.space, words.items, LocalHost(bench), budget=2000)
    population.add("l1", GRAM)
    outcome = await population.run()
    best = outcome.winner.belief
    assert outcome.converged
    assert set(best.heuristics) == {"- Prefer roots.", "- Look at tests first.", "- Follow callers."}
    assert best.role == GRAM.role
    assert outcome.winner.score == pytest.approx(0.5)


def test_spaces_merge_and_name_conflicts() -> None:
    space = ConfigSpace()
    base = Config.of(a=0, b=0)
    assert space.merge(base, Config.of(a=1, b=0), Config.of(a=0, b=2)) == Config.of(a=1, b=2)
    with pytest.raises(BeliefMergeConflict, match="a"):
        space.merge(base, Config.of(a=1, b=0), Config.of(a=2, b=0))
    grams = PromptgramSpace()
    edit = Edit("Style", "append", content="Be brief.")
    assert grams.decode(grams.encode(grams.apply(GRAM, edit))) == GRAM.apply(edit)
    assert grams.decode_edit(grams.encode_edit(edit)) == edit
    assert grams.similarity(edit, Edit("Style", "append", content="Be  brief.")) == 1.0
    assert grams.similarity(edit, Edit("Style", "append", content="Write long letters to everyone.")) < 0.7


CONFIGS = st.builds(Config.of, a=st.integers(0, 3), b=st.integers(0, 3), c=st.integers(0, 3))


@settings(max_examples=60)
@given(CONFIGS, CONFIGS, CONFIGS)
def test_config_merge_laws(base: Config, a: Config, b: Config) -> None:
    space = ConfigSpace()
    assert space.merge(base, a, a) == a
    assert space.merge(base, a, base) == a
    try:
        assert space.merge(base, a, b) == space.merge(base, b, a)
    except BeliefMergeConflict:
        with pytest.raises(BeliefMergeConflict):
            space.merge(base, b, a)


# --- pictures ---


async def test_pictures_are_sound_svg_that_shows_every_node(tmp_path: Path) -> None:
    population, outcome = await run_on(peaks(2, 1, noise=0.05), seed=1, budget=3000)
    for draw in (draw_genealogy, draw_scores):
        path = tmp_path / "picture.svg"
        path.write_text(draw(population.genealogy, outcome.spent, "a < b"), encoding="utf-8")
        texts = [e.text or "" for e in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]
        assert "a < b" in texts
        for node in population.genealogy.births:
            assert any(text.startswith(node) for text in texts)


async def test_random_mutations_never_repeat_and_end() -> None:
    start, tried = rugged(0).start, set[str]()
    while ideas := await RandomMutation().propose(start, Evidence(), frozenset(tried), 4, len(tried)):
        new = {ConfigSpace().edit_hash(edit) for edit in ideas}
        assert not new & tried
        tried |= new
    assert len(tried) == 66
