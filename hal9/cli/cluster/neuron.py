"""`hal9 neuron NAME`, `neuron new`, `neuron list`."""

import logging
from pathlib import Path

import click

from hal9.cli.common import home_of, json_option, print_json, run

__all__ = ["neuron"]

_LAYERS = click.Choice(["2", "3", "4"])
_ROLES = {
    "2": ("You do one piece of work completely and check it.", "", '["read", "write", "run"]'),
    "3": ("You turn a directive into a design and say who builds which part.", "L2", "[]"),
    "4": ("You turn an objective into directives.", "L3", "[]"),
}
_MARKDOWN = """+++
id = "{name}"
version = 1
layer = {layer}
description = "{description}"
model = "default"
tools = {tools}
next = [{next}]
+++

## Role

{role}

## Policy

- Say what you assumed.

## Heuristics

- Read before you write.

## Style

- Be brief.
"""
_PYTHON = '''"""The neuron {name}: its settings and its prompt; functions in `tools` are tools of its own."""

from hal9 import Neuron{imports}
{example}
neuron = Neuron(
    name="{name}",
    layer={layer},
    description="{description}",
    tools={python_tools},
    next=({python_next}),
    prompt="""
## Role

{role}

## Policy

- Say what you assumed.
""",
)
'''

_FUNCTION = '''

@tool
def count_words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())

'''


class _NeuronGroup(click.Group):
    """`hal9 neuron NAME` runs NAME; its other commands have words of their own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return "run", self.commands["run"], args
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options before the name belong to `run`, as they did when it had no word of its own.
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_NeuronGroup)
def neuron() -> None:
    """Run one neuron as a process of its own, or describe a new one.

    `hal9 neuron NAME` is `hal9 neuron run NAME`.
    """


@neuron.command("run")
@click.argument("name")
@click.option(
    "--broker",
    "urls",
    multiple=True,
    help="mqtt://host:1883 or mqtts://host:8883; again for each further node of a broker cluster "
    "(default: this home's broker).",
)
@click.option("--username", help="Login at an external broker (default: the neuron's name).")
@click.option("--password", envvar="HAL9_BROKER_PASSWORD", help="Better in HAL9_BROKER_PASSWORD.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="CA of an mqtts broker.")
@click.option("--allow-plaintext", is_flag=True, help="Permit mqtt:// to another machine.")
@click.pass_context
def run_one(
    ctx: click.Context,
    name: str,
    urls: tuple[str, ...],
    username: str | None,
    password: str | None,
    ca_file: Path | None,
    allow_plaintext: bool,
) -> None:
    """Run one neuron of this home as a process of its own, also against a broker on another host.

    Take NAME out of `neurons.enabled` of the cluster that hosts it so far.
    """
    from hal9.bus import BrokerAddress
    from hal9.cluster.broker_access import local_access
    from hal9.cluster.node import run_neuron

    home = home_of(ctx)
    home.make_state()
    logging.basicConfig(level=home.settings().logging.level, format="%(asctime)s %(levelname)s %(message)s")
    if not urls:
        address = local_access(home, name)
    else:
        address = BrokerAddress.from_urls(
            urls,
            username=username or (name if password else None),
            password=password,
            ca_file=ca_file,
            allow_insecure=allow_plaintext,
        )
        address.check()
    run(run_neuron(home, name, address))


@neuron.command("new")
@click.argument("name")
@click.option("--layer", type=_LAYERS, default="2", show_default=True, help="4 plans, 3 designs, 2 works.")
@click.option("--python", is_flag=True, help="A Python file, whose functions are its tools.")
@click.option("--description", default="", help="What it is for, in a sentence.")
@click.pass_context
def new(ctx: click.Context, name: str, layer: str, python: bool, description: str) -> None:
    """Write the file of a new neuron into this home's neurons/; edit it, then restart the cluster."""
    import json
    import re

    from hal9.errors.neurons import NeuronInvalid
    from hal9.neurons import load_file, load_neurons

    folder = home_of(ctx).neurons
    path = folder / f"{name}{'.py' if python else '.md'}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,47}", name):
        raise NeuronInvalid(path=name, problem="is no name: small letters, digits, - and _ are, e.g. l2-sql")
    if taken := [one for one in (folder / f"{name}.md", folder / f"{name}.py") if one.exists()]:
        raise NeuronInvalid(path=str(taken[0]), problem="is there already; it was not touched")
    role, below, tools = _ROLES[layer]
    names = json.loads(tools)
    function = ["count_words"] if layer == "2" else []
    text = (_PYTHON if python else _MARKDOWN).format(
        name=name,
        layer=layer,
        description=" ".join(description.split()).replace("\\", "\\\\").replace('"', '\\"'),
        tools=tools,
        next=f'"{below}"' if below else "",
        python_tools="[" + ", ".join([*(f'"{one}"' for one in names), *function]) + "]",
        example=_FUNCTION if function else "",
        imports=", tool" if function else "",
        python_next=f'"{below}",' if below else "",
        role=role,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    load_file(path)
    load_neurons(folder)
    click.echo(
        f"{path}\nEdit it; docs/neurons.md has every key. `hal9 doctor` checks it, `hal9 stop` and `hal9 up` "
        f"take it in, `hal9 submit --to {name} …` tries it."
    )


@neuron.command("list")
@json_option
@click.pass_context
def list_neurons(ctx: click.Context, as_json: bool) -> None:
    """List this home's neurons and what each is for."""
    from hal9.neurons import load_file, neuron_files

    home = home_of(ctx)
    found = [one for path in neuron_files(home.neurons) for one in load_file(path).values()]
    found.sort(key=lambda one: (-one.meta.layer, one.name))
    if as_json:
        print_json(
            [{"name": one.name, "path": one.path, **one.meta.model_dump(mode="json")} for one in found]
        )
        return
    for one in found:
        click.echo(
            f"L{one.meta.layer} {one.name}  {one.meta.description or one.promptgram.section('Role')[:100]}"
        )
