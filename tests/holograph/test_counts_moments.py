"""What is counted once and kept agrees with what is counted anew."""

import numpy as np
import pytest

from hal9.holograph.data.counts import Counts
from hal9.holograph.data.moments import Moments
from hal9.holograph.data.scores import DiscreteScore, GaussianScore
from hal9.holograph.data.table import Table


def test_all_candidates_at_once_agree_with_each_alone() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.integers(0, size, 300) for size in (2, 3, 5, 2, 4)]).astype(float)
    targets = np.where(rng.random(300) < 0.2, 3, -1).astype(np.intp)
    table = Table.of("abcde", values, targets=targets, scale="discrete")
    scorer = DiscreteScore(table, -1.5, 2.0)
    for node in (0, 3):
        parents = np.array([4, 1], dtype=np.intp)
        found = scorer.additions(node, parents)
        for other in range(5):
            if other not in (node, 1, 4):
                assert found[other] == pytest.approx(scorer.local(node, np.append(parents, other)), rel=1e-9)
        assert found[node] == pytest.approx(scorer.local(node, parents))
        assert scorer.removals(node, parents)[0] == pytest.approx(scorer.local(node, np.array([1])))


def test_states_beyond_counting_are_numbered_all_the_same() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 7, (60, 9)).astype(float)
    table = Table.of([f"v{k}" for k in range(9)], values, scale="discrete")
    counts = Counts(table)
    for members in ((0, 1, 2, 3, 4, 5, 6, 7), (1,), ()):
        codes, states = counts._all.joint(members)
        rows = {tuple(row) for row in values[:, list(members)].astype(int).tolist()}
        assert states == len(rows) == len(set(codes.tolist()))


def test_conditional_variances_are_those_of_regressions_also_where_columns_depend() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)) * 1e4
    values = np.column_stack([values, values[:, 0] - values[:, 1]])
    scorer = GaussianScore(Table.of("abcdef", values, scale="gaussian"))
    centred = values - values.mean(axis=0)
    for node, parents in ((2, [0, 3]), (4, [1, 2, 3])):
        design = centred[:, parents]
        left = centred[:, node] - design @ np.linalg.lstsq(design, centred[:, node], rcond=None)[0]
        found = scorer.variances(node, np.array(parents))
        assert found[node] == pytest.approx(np.mean(left**2), rel=1e-6)
        removed = scorer.removals(node, np.array(parents))
        assert removed[0] == pytest.approx(scorer.local(node, np.array(parents[1:])), rel=1e-6)
    dependent = scorer.variances(0, np.array([1, 5]))
    assert np.isfinite(dependent).all()
    assert dependent[0] == pytest.approx(1e-6 * np.var(values[:, 0]))


def test_a_set_is_worked_out_once() -> None:
    moments = Moments(np.eye(4) + 0.2)
    first = moments.given((0, 2))
    assert moments.given((0, 2))[0] is first[0]
