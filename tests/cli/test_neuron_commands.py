"""`hal9 neuron new` and `list`."""

import json

import pytest

from hal9.cli.app import cli, run
from hal9.cluster import Home
from hal9.neurons import load_neurons


@pytest.mark.parametrize("layer", ["2", "3", "4"])
@pytest.mark.parametrize("kind", [(), ("--python",)])
def test_a_new_neuron_can_be_loaded_at_once(
    home: Home, layer: str, kind: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"l{layer}-own"
    command = ["--home", str(home.root), "neuron", "new", name, "--layer", layer, *kind]
    assert run(cli, [*command, "--description", 'says "yes"\nand \\no']) == 0
    found = load_neurons(home.neurons)[name]
    assert (found.meta.layer, found.meta.description) == (int(layer), 'says "yes" and \\no')
    assert "--to" in capsys.readouterr().out
    assert run(cli, command) != 0
    assert "is there already" in capsys.readouterr().err
    assert run(cli, ["--home", str(home.root), "neuron", "list", "--json"]) == 0
    assert name in {one["name"] for one in json.loads(capsys.readouterr().out)}


def test_a_name_that_is_none_is_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(home.neurons.iterdir())
    assert run(cli, ["--home", str(home.root), "neuron", "new", "../x"]) != 0
    assert "is no name" in capsys.readouterr().err
    assert sorted(home.neurons.iterdir()) == before


def test_running_a_neuron_needs_no_further_word(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """`hal9 neuron NAME` as before; here with a name that does not exist, so that it ends."""
    assert run(cli, ["--home", str(home.root), "neuron", "l2-nobody"]) != 0
    assert "no cluster runs" in capsys.readouterr().err
