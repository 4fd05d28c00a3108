"""The examples in the docstrings of what `hal9` offers are true."""

import doctest
import importlib

import pytest

import hal9

MODULES = ("hal9", "hal9.cluster.blocking", "hal9.neurons.definitions.in_code")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_public_name_has_a_docstring() -> None:
    for name in hal9.__all__:
        value = getattr(hal9, name)
        assert name in ("__version__", "Workspace") or value.__doc__, name
