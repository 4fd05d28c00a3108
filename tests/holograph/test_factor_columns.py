"""Columns out of rows of mixed values, and what chance among many columns allows."""

import asyncio
from typing import Any

import numpy as np

from hal9.holograph import causes
from hal9.holograph.data.factor_columns import (
    chance_of_association,
    factor_columns,
    probability_beyond_chance,
)


def rows(count: int, seed: int, **columns: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = {name: make(rng, count) for name, make in columns.items()}
    return [{name: values[k] for name, values in made.items()} for k in range(count)]


def test_hours_run_round_so_that_a_night_is_one_piece() -> None:
    found = []
    for hour in (22, 23, 0, 1, 2, 9, 12, 15):
        found += [{"hour": hour, "failed": hour in (22, 23, 0, 1, 2)}] * 8
    columns = factor_columns(found, ("failed",), {"hour": 24})
    night = columns.values[columns.names.index("hour=21-3")]
    assert [int(v) for v in night] == [int(row["failed"]) for row in found]
    graph = asyncio.run(causes(found, outcomes=("failed",), resamples=4))
    assert graph.of("failed")[0].cause == "hour=21-3"


def test_columns_that_say_the_same_are_named_once() -> None:
    table = [
        {"check": k % 3 > 0, "tool": "none" if k % 3 == 0 else "sh", "failed": k % 5 == 0} for k in range(60)
    ]
    columns = factor_columns(table, ("failed",), {})
    assert columns.names == ["check", "failed"]
    assert columns.left_out == {"tool=none": "says the same as check"} or columns.left_out == {
        "tool=sh": "says the same as check"
    }


def test_a_number_whose_large_values_fail_is_found_by_its_upper_part() -> None:
    rng = np.random.default_rng(8)
    words = rng.gamma(2, 12, 40)
    table: list[dict[str, Any]] = [{"words": float(n), "kind": "abc"[k % 3]} for k, n in enumerate(words)]
    large = float(np.sort(words)[-13])
    failing = [{**row, "failed": row["words"] >= large and rng.random() < 0.7} for row in table]
    columns = factor_columns(failing, ("failed",), {})
    splits = [name for name in columns.names if name.startswith("words>")]
    assert len(splits) == 2
    assert columns.form_of == dict.fromkeys(splits, "words")
    found = asyncio.run(causes(failing, outcomes=("failed",)))
    (edge,) = found.of("failed")
    assert edge.cause == splits[1]
    assert edge.effect_size > 0
    assert edge.probability >= 0.8
    assert not {"words", splits[0]} & set(found.columns)


def test_few_values_and_constant_numbers_are_not_split() -> None:
    table = [{"layers": k % 4, "one": 1.5, "failed": k % 2 == 0} for k in range(40)]
    columns = factor_columns(table, ("failed",), {})
    assert columns.names == ["layers", "failed"]
    assert columns.left_out == {"one": "is the same in every case"}
    assert columns.form_of == {}


def test_looking_at_many_columns_is_paid_for() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(80, 21))
    relation = np.asarray(np.corrcoef(values.T))
    strongest = int(np.argmax(np.abs(relation[0, 1:]))) + 1
    none, rest = np.zeros(0, dtype=np.intp), np.arange(1, 21)
    alone = chance_of_association(values, 0, strongest, none, np.array([strongest]), draws=999)
    among = chance_of_association(values, 0, strongest, none, rest, draws=999)
    assert among > 3 * alone
    values[:, 4] += 2 * values[:, 0]
    assert chance_of_association(values, 0, 4, none, rest, draws=999) == 0.001


def test_little_evidence_leaves_little_of_a_cause() -> None:
    assert probability_beyond_chance(0.5, 0.25) < 0.21
    assert probability_beyond_chance(0.02, 0.25) < 0.6
    assert probability_beyond_chance(0.0003, 0.25) > 0.95


def test_tables_of_chance_name_no_cause_surely() -> None:
    for seed in range(6):
        table = rows(
            60,
            seed,
            words=lambda rng, n: rng.gamma(2, 12, n).tolist(),
            tool=lambda rng, n: rng.choice(["sh", "python3", "none"], n).tolist(),
            kind=lambda rng, n: rng.choice(["a", "b", "c"], n).tolist(),
            hour=lambda rng, n: rng.integers(24, size=n).tolist(),
            failed=lambda rng, n: (rng.random(n) < 0.4).tolist(),
        )
        found = asyncio.run(causes(table, outcomes=("failed",), resamples=2, seed=seed))
        assert not [edge for edge in found.of("failed") if edge.probability >= 0.8]
