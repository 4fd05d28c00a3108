"""What a population does on landscapes whose truth is known."""

import pytest

from hal9.belief import Policy, ReplayHost, genealogy_of
from hal9.belief.synthetic_problems import RandomMutation, greedy, peaks, rugged
from hal9.errors.belief import PolicyInvalid, ReplayDiverged
from tests.belief.support import log_of, population_on, run_on

SMALL = {"sections": 4, "variants": 5, "items": 24}


@pytest.mark.parametrize("seed", range(3))
async def test_two_peaks_become_two_specialists(seed: int) -> None:
    land = peaks(2, seed)
    population, outcome = await run_on(land, seed=seed, budget=8000)
    assert outcome.reason == "equilibrium"
    tops = [[land.truth(s.belief)[group::2].mean() for group in (0, 1)] for s in outcome.standings]
    assert sorted([pytest.approx(top) for top in tops], key=repr) == [[0, 1], [1, 0]]
    assert [len(s.niche) for s in outcome.standings] == [30, 30]
    assert all(s.own_score == pytest.approx(1.0) for s in outcome.standings)
    assert len(population.genealogy.births) >= 2


@pytest.mark.parametrize("noise", [0.0, 0.15])
async def test_one_peak_ends_with_one_node_on_top(noise: float) -> None:
    land = peaks(1, 5, noise=noise)
    _, outcome = await run_on(land, seed=5, budget=8000)
    assert len(outcome.standings) == 1
    assert land.mean(outcome.winner.belief) == pytest.approx(1.0)
    assert len(outcome.winner.niche) == 60


async def test_the_same_seed_writes_the_same_log_and_another_seed_does_not() -> None:
    logs = [
        log_of((await run_on(rugged(1, noise=0.1, **SMALL), seed=seed, budget=600))[0]) for seed in (4, 4, 5)
    ]
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


@pytest.mark.parametrize("stepping", ["synchronous", "asynchronous"])
async def test_a_recorded_log_replays_without_measuring(stepping: str) -> None:
    land = peaks(2, 1, noise=0.05, **SMALL)
    first, outcome = await run_on(land, seed=2, budget=1500, record=True, stepping=stepping)
    calls = land.calls
    host = ReplayHost([entry.to_json() for entry in first.log])
    again, replayed = await run_on(land, seed=2, budget=1500, record=True, stepping=stepping, host=host)
    assert land.calls == calls
    assert log_of(again) == log_of(first)
    assert replayed == outcome
    with pytest.raises(ReplayDiverged, match="same start, seed and policy"):
        await run_on(land, seed=3, budget=1500, stepping=stepping, host=host)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_asynchronous_stepping_also_finds_both_peaks(concurrency: int) -> None:
    land = peaks(2, 1)
    population = population_on(land, seed=1, budget=8000)
    outcome = await population.run(stepping="asynchronous", concurrency=concurrency)
    assert outcome.converged
    assert sorted(s.own_score for s in outcome.standings) == [pytest.approx(1), pytest.approx(1)]
    repeat = population_on(peaks(2, 1), seed=1, budget=8000)
    await repeat.run(stepping="asynchronous", concurrency=concurrency)
    assert log_of(repeat) == log_of(population)


async def test_the_budget_is_never_passed_and_its_end_is_named() -> None:
    for noise in (0.0, 0.15):
        for budget in (0, 1, 50, 333, 1000):
            land = rugged(3, noise=noise)
            _, outcome = await run_on(land, seed=1, budget=budget)
            assert land.calls == outcome.spent <= budget
            if outcome.reason == "budget":
                assert not outcome.converged


async def test_stagnation_is_not_called_convergence() -> None:
    _, outcome = await run_on(rugged(3), seed=1, budget=50_000, policy=Policy(patience=20))
    assert outcome.reason == "stagnation"
    assert not outcome.converged


async def test_no_commit_without_a_measured_gain() -> None:
    population, _ = await run_on(rugged(2), seed=1, budget=2000, policy=Policy(patience=300, trips=0))
    turns = [entry for entry in population.log if entry.what == "turn"]
    version = 1
    for entry in turns:
        if entry.facts["version"] > version:
            assert entry.facts["trial"][1] == "won"
            assert entry.facts["trial"][2] > 0
            version += 1
    assert version > 3


async def test_exploring_never_loses_what_was_held() -> None:
    land = rugged(7)
    _, stay = await run_on(rugged(7), seed=1, budget=20_000, policy=Policy(patience=10_000, trips=0))
    population, roam = await run_on(land, seed=1, budget=20_000, policy=Policy(patience=10_000, trips=4))
    assert stay.reason == roam.reason == "equilibrium"
    assert land.mean(roam.winner.belief) >= land.mean(stay.winner.belief)
    assert population.nodes["root"].trips == 4
    scores = [score for _, _, score in population.trace]
    assert scores == sorted(scores)


async def test_a_lone_node_without_ideas_rests_at_once() -> None:
    land = rugged(1, **SMALL)
    population = population_on(land, budget=500, policy=Policy(retry=1.0))
    outcome = await population.run()
    assert outcome.reason in ("equilibrium", "stagnation")


async def test_small_paired_comparison_with_greedy() -> None:
    """The benchmark's question in small: eight landscapes at noise .15, same budget, same ideas."""
    gains = []
    for seed in range(300, 308):
        land, plain = rugged(seed, noise=0.15), rugged(seed, noise=0.15)
        _, outcome = await run_on(land, seed=seed, budget=4000)
        other = await greedy(plain.start, plain, RandomMutation(), budget=4000, batch=6, seed=seed)
        gains.append(land.mean(outcome.winner.belief) - plain.mean(other))
    assert sum(gains) / len(gains) > 0


@pytest.mark.parametrize(
    "wrong",
    [{"cap": 0}, {"damping": 1.5}, {"stages": (6, 6)}, {"stages": (0, 3)}, {"min_share": 0.6}, {"reach": 0}],
)
def test_impossible_policies_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        Policy(**wrong)  # type: ignore[arg-type]
    assert next(iter(wrong)) in str(caught.value)


async def test_the_log_alone_tells_who_descends_from_whom() -> None:
    population, outcome = await run_on(peaks(2, 1, noise=0.05), seed=1, budget=3000)
    assert len(population.genealogy.births) > 1
    read, spent = genealogy_of(population.log)
    # What finalists cost at the very end is in no line of the log.
    assert 0 < spent <= outcome.spent
    assert [*read.births] == [*population.genealogy.births]
    for life, kept in zip(read.births.values(), population.genealogy.births.values(), strict=True):
        assert (life.parent, life.born, life.died) == (kept.parent, kept.born, kept.died)
        assert (life.end, life.heir) == (kept.end, kept.heir)
    half, _ = genealogy_of(population.log[: len(population.log) // 2])
    assert {*half.births} <= {*read.births}, "a run that goes on is told as far as it went"
