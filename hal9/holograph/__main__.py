# ruff: noqa: PLC0415 -- each command imports what it needs, so that --help is quick
"""`holograph`: find causal structure by asking a language model, with or without data."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9 import __version__
from hal9.errors.base import Hal9Error
from hal9.holograph.fit.command import fit

if TYPE_CHECKING:
    from hal9.holograph.questions import Answer, Question
    from hal9.holograph.runs.inquiry import DiscoveryState
    from hal9.holograph.runs.store import RunStore
    from hal9.memory.embedding.protocol import Embedder

__all__ = ["main"]

_STORE = click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".hal9/holograph.db"),
    show_default=True,
    help="SQLite file that holds the runs.",
)


class _Group(click.Group):
    """Prints HAL9's own errors as one line and exits with their code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Hal9Error as error:
            click.echo(f"holograph: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="holograph")
def main() -> None:
    """Causal structure from language, consistent across contexts."""


@main.command()
@click.option(
    "--variables", type=click.Path(path_type=Path), required=True, help="YAML: variables and domain."
)
@click.option("--contexts", type=click.Path(path_type=Path), help="YAML: overlapping contexts.")
@click.option("--data", type=click.Path(path_type=Path), help="CSV or Parquet with a column per variable.")
@click.option(
    "--mind", "mind_spec", help="claude, gemini, codex, local, or any model spec.  [default: configured]"
)
@click.option("--budget-queries", type=click.IntRange(0, 100_000), default=100, show_default=True)
@click.option(
    "--accuracy", type=click.FloatRange(0.3, 1.0), default=0.8, show_default=True, help="Assumed at first."
)
@click.option("--method", type=click.Choice(["natural", "diagonal", "adam", "sgd"]), default="natural")
@click.option(
    "--scale", type=click.Choice(["auto", "gaussian", "discrete"]), default="auto", help="Of the data."
)
@click.option(
    "--embedder",
    default="ngrams",
    show_default=True,
    help="What likens descriptions and answers: ngrams, onnx-minilm, sentence-transformers[:MODEL].",
)
@click.option("--run", "run_name", help="Name of the run; an existing one is resumed.")
@click.option("--fresh-answers", is_flag=True, help="Do not reuse answers of earlier runs in the store.")
@click.option("--allow-cyclic", is_flag=True, help="Accept contexts that overlap in a bare ring.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write the graph as a picture.")
@_STORE
def discover(variables: Path, contexts: Path | None, data: Path | None, **options: Any) -> None:
    """Ask a mind which variables cause which, and draw the graph."""
    from hal9.holograph.fit.listed import read_listed
    from hal9.holograph.runs.inquiry import DiscoveryState, Settings
    from hal9.holograph.runs.store import RunStore
    from hal9.holograph.spec import load_problem

    if options["svg"]:
        _writable(options["svg"])
    problem = load_problem(variables, contexts, allow_cyclic=options["allow_cyclic"])
    outside = set(problem.names).difference(*problem.members().values()) if problem.contexts else set()
    if outside:
        listed = ", ".join(name for name in problem.names if name in outside)
        click.echo(f"in no context, so nothing is asked about them: {listed}", err=True)
    table, said = read_listed(data, problem.names, scale=options["scale"]) if data else (None, [])
    for note in said:
        click.echo(note, err=True)
    settings = Settings(
        budget_queries=options["budget_queries"], accuracy=options["accuracy"], method=options["method"]
    )
    name = options["run_name"] or time.strftime(f"{variables.stem}-%Y%m%d-%H%M%S")
    with RunStore(options["store"]) as store:
        click.echo(f"run {name}", err=True)
        inquiry = DiscoveryState(problem, settings, table, _embedder(options["embedder"]))
        try:
            asyncio.run(
                _discover(inquiry, store, name, options["mind_spec"], cached=not options["fresh_answers"])
            )
        except (Hal9Error, KeyboardInterrupt):
            _say_how_to_resume(store, name)
            raise
        _print_run(store, name)
        for note in inquiry.notes:
            click.echo(f"note: {note}", err=True)
        if not options["budget_queries"] and table is None:
            click.echo("nothing was asked and no table was given: give --data or a budget", err=True)
        if options["svg"]:
            options["svg"].write_text(_picture(store, name), encoding="utf-8")


def _embedder(spec: str) -> "Embedder":
    """The named embedder; "ngrams" needs no model."""
    from hal9.holograph.model.embedding import HashedEmbedder

    if spec == "ngrams":
        return HashedEmbedder()
    from hal9.memory.embedding.embedders import open_embedder

    found = open_embedder(spec)
    if found is None:
        raise click.BadParameter(
            "holograph needs an embedder; 'ngrams' needs no model", param_hint="--embedder"
        )
    return found


async def _discover(
    inquiry: "DiscoveryState", store: "RunStore", name: str, spec: str | None, *, cached: bool
) -> None:
    from hal9.holograph.queries.answerers import Nobody
    from hal9.holograph.runs.discovery import Run, discover
    from hal9.holograph.runs.mind_answerer import MindAnswerer
    from hal9.minds import default_spec, open_mind

    if inquiry.settings.budget_queries == 0:
        # Nothing will be asked, so no model is opened, let alone fetched.
        await discover(inquiry, Nobody(), run=Run(store, name))
        return
    chosen = spec or default_spec()
    if spec is None:
        click.echo(f"no --mind was named: {chosen} is asked", err=True)
        if chosen == "local":
            click.echo(
                "the small local model knows little of causes (docs/holograph.md has figures): name a strong "
                "one with --mind, or give --data and --budget-queries 0",
                err=True,
            )
    chosen = f"agent:{chosen}" if chosen in ("claude", "gemini", "codex") else chosen
    async with open_mind(chosen) as mind:
        answerer = MindAnswerer(mind, inquiry.problem, store if cached else None)
        await discover(inquiry, answerer, run=Run(store, name), watch=_Progress(inquiry))


class _Progress:
    """Prints queries on standard error as they come; those of the record are only counted."""

    def __init__(self, inquiry: "DiscoveryState") -> None:
        self.budget = inquiry.settings.budget_queries
        self.recorded = 0

    def __call__(self, number: int, question: "Question", answer: "Answer | None", recorded: bool) -> None:
        if recorded:
            self.recorded += 1
            return
        if self.recorded:
            click.echo(f"resumed after {self.recorded} recorded queries", err=True)
            self.recorded = 0
        said = answer.verdict if answer is not None else "no usable answer"
        where = f" in {question.context}" if question.context else ""
        pair = f"{question.first} ? {question.second}{where}"
        click.echo(f"{number:4d}/{self.budget} {question.kind}: {pair}: {said}", err=True)


def _writable(path: Path) -> None:
    """Refuse a picture that could not be written before anything is asked for it."""
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r}", param_hint="--svg")


main.add_command(fit)


@main.command()
@click.argument("run")
@click.option("--dot", "form", flag_value="dot", help="Graphviz source.")
@click.option("--svg", "form", flag_value="svg", help="A picture.")
@click.option("--json", "form", flag_value="json", help="Everything about the run.")
@_STORE
def show(run: str, form: str | None, store: Path) -> None:
    """Print a run's graph with its uncertainty."""
    from hal9.holograph.drawing import dot

    with _open_existing(store, run) as runs:
        if form == "json":
            row = runs.get(run)
            counters = runs.counters(run)
            shown = {
                "run": row.name,
                "status": row.status,
                "mind": row.mind,
                "elapsed_seconds": row.elapsed,
                "counters": {key: getattr(counters, key) for key in counters.__slots__},
                "inputs": row.inputs,
                "result": row.result,
            }
            click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        elif form == "svg":
            click.echo(_picture(runs, run), nl=False)
        elif form == "dot":
            click.echo(dot(_drawn(runs, run)), nl=False)
        else:
            _print_run(runs, run)


@main.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query.")
@click.option("--full", is_flag=True, help="Prompts and replies too.")
@_STORE
def trace(run: str, as_json: bool, full: bool, store: Path) -> None:
    """Print every query with its answer, cost, and what it changed."""
    with _open_existing(store, run) as runs:
        for query in runs.queries(run):
            if as_json:
                click.echo(json.dumps(query, ensure_ascii=False))
                continue
            answer = query["answer"]["verdict"] if query["answer"] else "no usable answer"
            where = f" in {query['context']}" if query["context"] else ""
            click.echo(
                f"{query['seq']:4d} {query['kind']:<13} {query['first']} ? {query['second']}{where}: "
                f"{answer} "
                f"[{query['status']}, {query['seconds']:.2f} s, "
                f"{query['prompt_tokens']}+{query['completion_tokens']} tok]"
            )
            if query["belief"]:
                before, after = query["belief"]["before"], query["belief"]["after"]
                moved = "  ".join(f"{key} {before[key]:.2f}→{after[key]:.2f}" for key in before)
                click.echo(f"       {moved}")
            if full:
                click.echo(f"       asked: {query['prompt']}\n       reply: {query['reply']}")


@main.command()
@click.option("--quick", is_flag=True, help="Asia and Sachs only, one ordering.")
@click.option("--json", "as_json", is_flag=True)
def bench(quick: bool, as_json: bool) -> None:
    """Query curves of scripted oracles of stated accuracy, beside chance and the empty graph.

    "best" is the probability at which drawing edges would have been best, known only in hindsight.
    """
    from hal9.holograph.evaluation.query_curves import bench_rows

    rows = bench_rows(quick=quick)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(
        f"{'graph':8}{'accuracy':>9}{'queries':>9}{'F1':>7}{'SHD':>6}{'SID':>6}"
        f"{'best F1 (at)':>14}{'chance F1':>11}{'empty SHD':>11}"
    )
    for row in rows:
        click.echo(
            f"{row['graph']:8}{row['accuracy']:9.2f}{row['queries']:9d}{row['f1']:7.3f}{row['shd']:6.1f}"
            f"{row['sid']:6.0f}{row['best_threshold_f1']:8.3f} ({row['best_threshold']:.1f})"
            f"{row['chance_f1']:11.3f}{row['empty_shd']:11d}"
        )


def _say_how_to_resume(store: "RunStore", name: str) -> None:
    """For a run that broke off: what is kept of it, and how it goes on."""
    if name in store.names() and store.get(name).status == "paused":
        kept = len(store.queries(name))
        click.echo(f"run {name} is paused with {kept} queries kept; --run {name} goes on with it", err=True)


def _open_existing(path: Path, run: str) -> "RunStore":
    from hal9.errors.holograph import RunNotFound
    from hal9.holograph.runs.store import RunStore

    if not path.is_file():
        raise RunNotFound(run=run, store=str(path), known=())
    return RunStore(path)


def _drawn(store: "RunStore", run: str) -> Any:
    from hal9.holograph.runs.shown import drawn_run

    return drawn_run(store.get(run), _result(store, run))


def _weight(edge: dict[str, Any]) -> str:
    """The standardised weight, and the one in the table's units."""
    per_unit = f" ({edge['weight_per_unit']:+.3g} per unit)" if "weight_per_unit" in edge else ""
    return f"  weight={edge['weight']:+.2f}{per_unit}"


def _picture(store: "RunStore", run: str) -> str:
    from hal9.holograph.drawing import svg

    return svg(_drawn(store, run))


def _result(store: "RunStore", run: str) -> dict[str, Any]:
    """The stored result, or for an unfinished run an error that says how to finish it."""
    row = store.get(run)
    if row.result is None:
        asked = len(store.queries(run))
        raise click.ClickException(
            f"run {run!r} is {row.status} after {asked} queries; "
            f"finish it with `holograph discover --run {run} …`"
        )
    return row.result


def _print_run(store: "RunStore", run: str) -> None:
    result, counters, row = _result(store, run), store.counters(run), store.get(run)
    cost = "price unknown" if counters.usd is None else f"{counters.usd:.4f} USD"
    click.echo(
        f"{run}: {len(result['directed'])} causes, {len(result['bidirected'])} confounded pairs, "
        f"{counters.issued} issued, {counters.cached} cached, {counters.failed} failed queries, "
        f"{counters.prompt_tokens}+{counters.completion_tokens} tokens, {cost}, {row.elapsed:.1f} s"
    )
    for edge in sorted(result["directed"], key=lambda e: -e["probability"]):
        click.echo(
            f"  {edge['cause']} {'->' if edge.get('decided', True) else '—'} {edge['effect']}  "
            f"p={edge['probability']:.2f}{_weight(edge) if row.inputs.get('data') else ''}"
            f"{'  a guess: never asked' if edge.get('guessed') else ''}"
        )
    for edge in result["bidirected"]:
        click.echo(f"  {edge['between'][0]} <-> {edge['between'][1]}  p={edge['probability']:.2f}")
    for name, children in result["latents"].items():
        click.echo(f"  latent {name} -> {', '.join(children)}")
    for found in result["obstructions"]:
        click.echo(
            f"  contexts {' / '.join(found['contexts'])} on {' ? '.join(found['edge'])}: "
            f"{found['outcome']} {found['latent']}"
        )
    gluing = result.get("gluing")
    if gluing:
        click.echo(
            f"  contexts disagree by {gluing['residual']:.3f}, {gluing['obstruction']:.3f} of it beyond "
            f"averaging; {gluing['invisible']} directions of the whole are seen by no context"
        )


if __name__ == "__main__":
    main()
