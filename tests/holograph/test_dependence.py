from dataclasses import replace

import numpy as np
import pytest

from hal9.holograph import CausalGraph, Table
from hal9.holograph.data.dag_search import best_of_scores, fitted_graph
from hal9.holograph.data.dependence import row_worth, spread_dependence, taken_differently
from hal9.holograph.data.edge_probabilities import DECIDED, edge_leads, probabilities
from hal9.holograph.data.interventions import shift_elsewhere


def pooled(experiments: int, rows: int, seed: int) -> np.ndarray:
    """a causes b; every experiment shifts a, b and c by itself."""
    rng = np.random.default_rng(seed)
    shifts = np.repeat(rng.normal(size=(experiments, 3)), rows, axis=0)
    a, b, c = rng.normal(size=(3, experiments * rows))
    return np.column_stack([a, 2.0 * a + b, c]) + shifts


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_experiments_put_together_are_not_as_many_independent_rows(seed: int) -> None:
    values = pooled(9, 200, seed)
    none = np.zeros((3, 3), dtype=bool)
    assert row_worth(values, none) < 0.5
    mixed = np.random.default_rng(seed).permutation(values)
    assert row_worth(mixed, none) == 1.0


def test_tables_in_a_columns_order_and_short_ones_say_nothing_of_their_rows() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=1000)
    values = np.column_stack([a, a + rng.normal(size=1000), rng.normal(size=1000)])
    none = np.zeros((3, 3), dtype=bool)
    assert row_worth(values[np.argsort(values[:, 1])], none) == 1.0
    grouped = np.column_stack([values, np.repeat([0.0, 1.0], 500)])
    assert row_worth(grouped, np.zeros((4, 4), dtype=bool)) == 1.0
    assert row_worth(pooled(9, 20, 0), none) == 1.0


def test_a_fit_counts_dependent_rows_for_what_they_are_worth_and_says_so() -> None:
    values = pooled(9, 200, 3)
    model = CausalGraph(bootstrap=2).fit(dict(zip("abc", values.T, strict=True)))
    assert any("rows that follow each other are alike" in note for note in model.notes_)
    assert model.scorer_.table.effective < 0.5 * 1800
    shuffled = np.random.default_rng(1).permutation(values)
    again = CausalGraph().fit(dict(zip("abc", shuffled.T, strict=True)))
    assert again.notes_ == ()
    assert max(e.probability for e in model.edges_) <= max(e.probability for e in again.edges_)


def test_noise_that_grows_with_its_cause_decides_no_direction() -> None:
    rng = np.random.default_rng(4)
    cause = rng.gamma(2.0, size=1500)
    plain = 2.0 * cause + rng.laplace(size=1500)
    growing = 2.0 * cause + rng.laplace(size=1500) * (0.3 + cause)
    decided = []
    for effect in (plain, growing):
        table = Table.of(("cause", "effect"), np.column_stack([cause, effect]))
        scorer, found = best_of_scores(table)
        _, directed = probabilities(edge_leads(table, scorer, found))
        decided.append(max(directed[0, 1], directed[1, 0]) >= DECIDED)
    assert decided == [True, False]
    slope, start = np.polyfit(cause, growing, 1)
    assert spread_dependence(growing - slope * cause - start, cause) > 50
    assert spread_dependence(rng.laplace(size=1500), cause) < 6


def test_experiments_that_shift_what_they_do_not_name_set_nothing() -> None:
    rng = np.random.default_rng(5)
    targets = np.repeat([-1, 0, 1, 2], 300).astype(np.intp)
    a = np.where(targets == 0, 3.0, 0.0) + rng.normal(size=1200)
    b = np.where(targets == 1, rng.normal(size=1200), 0.8 * a + 0.6 * rng.normal(size=1200))
    c = np.where(targets == 2, rng.normal(size=1200), 0.8 * b + 0.6 * rng.normal(size=1200))
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    clean = Table.of("abc", np.column_stack([a, b, c]), targets=targets)
    assert shift_elsewhere(clean, chain) < 0.01
    assert (fitted_graph(clean).scorer.table.targets == targets).all()
    messy = replace(clean, values=clean.values + rng.normal(size=(4, 3))[targets + 1])
    assert shift_elsewhere(messy, chain) > 0.1
    used = fitted_graph(messy)
    assert (used.scorer.table.targets < 0).all()
    assert used.graph == fitted_graph(replace(messy, targets=np.full(1200, -1, dtype=np.intp))).graph
    assert "taken as observed" in taken_differently(messy, used.scorer.table)[0]
