"""`hal9 neuron NAME`."""

import logging
from pathlib import Path

import click

from hal9.cli.common import home_of, run

__all__ = ["neuron"]


@click.command()
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
def neuron(
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
