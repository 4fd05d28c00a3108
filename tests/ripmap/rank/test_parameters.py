from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.ripmap import ParameterInvalid
from hal9.ripmap.parameters import PARAMETERS, Parameters, parameter_table, parameters_schema

SEED = [
    "pagerank_alpha",
    "pagerank_chat_multiplier",
    "depth_weight_root",
    "depth_weight_moderate",
    "depth_weight_deep",
    "depth_weight_vendor",
    "boost_mentioned_ident",
    "boost_mentioned_file",
    "boost_chat_file",
    "boost_temporal_coupling",
    "boost_focus_expansion",
    "git_recency_decay_days",
    "git_recency_max_boost",
    "git_churn_threshold",
    "git_churn_max_boost",
    "focus_decay",
    "focus_max_hops",
]


def test_the_seventeen_are_there_by_name() -> None:
    assert [name for name, item in PARAMETERS.items() if item.origin == "seed"] == SEED


def test_defaults_are_in_range_and_meanings_are_given() -> None:
    for item in PARAMETERS.values():
        assert item.low <= item.default <= item.high, item.name
        assert item.meaning
        assert item.scale == "linear" or item.low > 0, item.name


@given(st.sampled_from(sorted(PARAMETERS)), st.floats(0, 1))
def test_scales_round_trip(name: str, unit: float) -> None:
    item = PARAMETERS[name]
    assert item.to_unit(item.from_unit(unit)) == pytest.approx(unit, abs=1e-9)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True, 2.0])
def test_impossible_values_are_refused(value: Any) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        Parameters({"pagerank_alpha": value})
    assert caught.value.name == "pagerank_alpha"


def test_unknown_names_tell_the_nearest() -> None:
    with pytest.raises(ParameterInvalid) as caught:
        Parameters({"pagerank_alfa": 0.8})
    assert caught.value.nearest == "pagerank_alpha"
    assert "pagerank_alpha" in str(caught.value)


def test_sets_compare_and_change() -> None:
    one = Parameters({"focus_decay": 0.4})
    assert one.changes() == {"focus_decay": 0.4}
    assert one.changed({"focus_decay": 0.5}) == Parameters()
    assert hash(one.changed({})) == hash(one)
    assert one != Parameters()


def test_schema_and_table_cover_everything() -> None:
    schema = parameters_schema()
    assert set(schema["properties"]) == set(PARAMETERS)
    assert schema["additionalProperties"] is False
    assert all(f"`{name}`" in parameter_table() for name in PARAMETERS)


def test_the_documentation_shows_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "ripmap-ranking.md").read_text(encoding="utf-8")
    assert parameter_table() in text, "docs/ripmap-ranking.md is older than the parameters"
