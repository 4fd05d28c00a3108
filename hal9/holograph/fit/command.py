# ruff: noqa: PLC0415 -- the command imports what it needs, so that --help is quick
"""`holograph fit`: the causal graph of a table, without a model and without a line of YAML."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hal9.holograph.fit.estimator import CausalGraph
    from hal9.holograph.fit.knowledge import Knowledge

__all__ = ["fit"]


def _names(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names given several times, or joined by commas."""
    return tuple(name.strip() for given in value for name in given.split(",") if name.strip())


def _pairs(
    _: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """CAUSE->EFFECT, several joined by commas."""
    found = []
    for given in value:
        for pair in given.split(","):
            cause, arrow, effect = (part.strip() for part in pair.replace("→", "->").partition("->"))
            if not (cause and arrow and effect):
                raise click.BadParameter(f"{pair!r} is no CAUSE->EFFECT", param=parameter)
            found.append((cause, effect))
    return tuple(found)


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--columns", multiple=True, callback=_names, help="Use only these (a,b,c).")
@click.option("--exclude", multiple=True, callback=_names, help="Do not use these (a,b,c).")
@click.option(
    "--missing",
    type=click.Choice(["drop", "impute", "refuse"]),
    default="drop",
    show_default=True,
    help="Rows with missing values: dropped, filled in from alike rows (anew in each resample), or refused.",
)
@click.option("--tiers", help="Earlier first, as a,b;c;d: nothing later causes anything earlier.")
@click.option("--forbid", multiple=True, callback=_pairs, help="CAUSE->EFFECT that cannot be.")
@click.option("--require", multiple=True, callback=_pairs, help="CAUSE->EFFECT that is.")
@click.option("--bootstrap", type=click.IntRange(0, 10_000), default=0, help="Resamples for stability.")
@click.option("--hidden/--no-hidden", default=True, show_default=True, help="Look for hidden common causes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--encoding", help="Of a CSV file that is not in UTF-8 or UTF-16, such as shift_jis.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the graph into this file.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a Markdown report.")
@click.option("--dot", "form", flag_value="dot", help="Print Graphviz source.")
@click.option("--json", "form", flag_value="json", help="Print everything as JSON.")
def fit(table: Path, form: str | None, **options: Any) -> None:
    """Find the causal graph of TABLE (CSV or Parquet); no language model is asked."""
    from hal9.holograph.fit.estimator import CausalGraph
    from hal9.holograph.fit.report import as_json, as_text, column_lines

    for key in ("svg", "report"):
        if options[key] is not None and not options[key].parent.is_dir():
            raise click.BadParameter(
                f"there is no folder {str(options[key].parent)!r}", param_hint=f"--{key}"
            )
    model = CausalGraph(
        columns=options["columns"],
        exclude=options["exclude"],
        missing=options["missing"],
        knowledge=_knowledge(options),
        bootstrap=options["bootstrap"],
        hidden=options["hidden"],
        seed=options["seed"],
        encoding=options["encoding"],
    )
    model.fit(table, name=str(table), progress=_Progress())
    _write(model, table.name, options["svg"], options["report"])
    if form == "json":
        click.echo(json.dumps(as_json(model), indent=2, ensure_ascii=False))
    elif form == "dot":
        click.echo(model.to_dot(), nl=False)
    else:
        for line in column_lines(model.prepared_):
            click.echo(f"  {line}", err=True)
        click.echo(as_text(model, table.name))
    for key in ("svg", "report"):
        if options[key] is not None:
            click.echo(f"written to {options[key]}", err=True)


def _write(model: "CausalGraph", name: str, svg: Path | None, report: Path | None) -> None:
    from hal9.holograph.fit.report import as_markdown

    beside = ""
    if svg is not None:
        svg.write_text(model.to_svg(name), encoding="utf-8")
        together = report is not None and svg.parent.resolve() == report.parent.resolve()
        beside = svg.name if together else str(svg.resolve())
    if report is not None:
        report.write_text(as_markdown(model, name, beside), encoding="utf-8")


def _knowledge(options: dict[str, Any]) -> "Knowledge":
    from hal9.holograph.fit.knowledge import Knowledge

    tiers = tuple(
        tuple(name.strip() for name in tier.split(",") if name.strip())
        for tier in (options["tiers"] or "").split(";")
        if tier.strip()
    )
    return Knowledge(tiers, options["forbid"], options["require"])


class _Progress:
    """Says on standard error what is being done; counts on one line where that is a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def __call__(self, what: str, done: int, of: int) -> None:
        if self.terminal and of > 1:
            end = "\n" if done + 1 == of else ""
            click.echo(f"\r{what} {done + 1}/{of}{end}", err=True, nl=False)
        elif of == 1 or (done + 1) % max(1, of // 4) == 0:
            click.echo(what if of == 1 else f"{what} {done + 1}/{of}", err=True)
