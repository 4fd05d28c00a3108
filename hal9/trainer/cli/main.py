"""`ripmap-train`: improve the ranker's parameters with a mind's reasoning or a numerical strategy."""

from pathlib import Path
from typing import Any

import click

from hal9 import __version__
from hal9.errors.base import Hal9Error
from hal9.errors.budgets import PriceUnknown

__all__ = ["main", "train_command"]

_STRATEGIES = ("random", "lhs", "tpe", "cmaes", "steps")
_RUNS = Path("training") / "runs"


_FIELDS = {
    "agent": "mind",
    "reason": "mind",
    "curated": "corpus",
    "quick": "corpus",
    "repo": "corpus",
    "no_test": "score_test",
    **dict.fromkeys(("limit_tokens", "limit_usd", "limit_seconds", "limit_calls"), "limits"),
}
"""Options whose names are others than those of what they set."""


def given_options() -> set[str]:
    """The options that stand on the command line; the others have their defaults."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return {name for name in context.params if context.get_parameter_source(name) is not default}


def limit_options(command: Any) -> Any:
    """Options of what a run may spend."""
    for name, text in (
        ("tokens", "Tokens the run may spend."),
        ("usd", "US dollars the run may spend."),
        ("seconds", "Seconds the run may take, preparing included; it then reports what it has."),
        ("calls", "Calls to minds the run may make."),
    ):
        command = click.option(f"--limit-{name}", type=click.FloatRange(min=0), help=text)(command)
    text = "The most one call of a command-line agent may cost; --limit-usd needs it for them."
    return click.option("--usd-per-call", type=click.FloatRange(min=0, min_open=True), help=text)(command)


def limits_of(values: dict[str, Any]) -> dict[Any, float]:
    """The limits that were given."""
    kinds = ("tokens", "usd", "seconds", "calls")
    return {kind: values[f"limit_{kind}"] for kind in kinds if values.get(f"limit_{kind}") is not None}


def corpus_of(values: dict[str, Any]) -> str:
    """The corpus the flags name."""
    given = [name for name in ("curated", "quick") if values[name]]
    if values["repo"] is not None:
        given.append(str(values["repo"]))
    if len(given) > 1:
        raise click.UsageError("--curated, --quick and --repo exclude each other")
    return given[0] if given else "curated"


@click.command("ripmap-train", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ripmap-train")
@click.option("--curated", is_flag=True, help="Train on the shared localization corpus (the default).")
@click.option("--quick", is_flag=True, help="Train on a few cases of each of its repositories.")
@click.option(
    "--repo", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Train on a repository."
)
@click.option(
    "--queries",
    type=click.Choice(["plain", "issue", "both"]),
    default="plain",
    show_default=True,
    help="Cases as commits put them, as users would report them, or both.",
)
@click.option("--reason", is_flag=True, help="A mind reads failures and proposes steps.")
@click.option(
    "--agent", default="claude", show_default=True, help="claude, gemini, codex, local, or any mind's spec."
)
@click.option(
    "--episodes", type=click.IntRange(min=1), default=20, show_default=True, help="Questions to the mind."
)
@click.option("--strategy", type=click.Choice(_STRATEGIES), help="A numerical strategy instead of a mind.")
@click.option("--budget", type=click.IntRange(min=1), help="Evaluations of the training split.")
@click.option(
    "--space",
    type=click.Choice(["weights", "seed", "live", "all"]),
    default="live",
    show_default=True,
    help="Which parameters may move.",
)
@click.option("--run-name", default="run", show_default=True, help="Name of the run.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=_RUNS, show_default=True, help="Folder of runs."
)
@click.option("--resume", is_flag=True, help="Go on with a run of this name.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that rank."
)
@click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="local|dask:ADDRESS",
    help="Rank on the workers of a Dask scheduler, such as dask:tcp://host:8786.",
)
@click.option(
    "--promptgram", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Steers the mind."
)
@click.option("--no-test", is_flag=True, help="Do not score the test split at the end.")
@limit_options
@click.option("--distill", is_flag=True, help="Distil presets, heuristics and warnings from --scratchpad.")
@click.option(
    "--scratchpad",
    "scratchpads",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A record to distil; may be repeated.",
)
@click.option("--presets", type=click.Path(path_type=Path), help="Where distilled presets go.")
@click.option("--preset-name", default="trained", show_default=True, help="Name of the distilled preset.")
@click.option("--list", "list_them", is_flag=True, help="List runs.")
@click.option("--show", metavar="RUN", help="Show one run.")
@click.option("--ledger", metavar="RUN", help="Show a run's changes: every step, kept or rejected.")
@click.option("--why", metavar="CHANGE", help="With --ledger: one change with its evidence.")
@click.option("--revert", metavar="CHANGE", help="With --ledger: take a change back.")
@click.option("--show-insights", is_flag=True, help="What minds said no parameter can express.")
@click.option("--show-interactions", is_flag=True, help="What minds said about parameters acting together.")
@click.option(
    "--liveness", "show_liveness", is_flag=True, help="Which parameters move a ranking of the corpus."
)
def train_command(**values: Any) -> None:
    """Improve the ranker's parameters, and say honestly whether it worked.

    \b
    ripmap-train --curated --reason --episodes 50 --agent claude --run-name my_run
    ripmap-train --strategy cmaes --budget 200 --run-name baseline
    ripmap-train --distill --scratchpad training/runs/my_run/scratchpad.json
    """  # noqa: D301 - click reads \b
    if values["ledger"]:
        ledger_views(values["runs"] / values["ledger"], values["why"], values["revert"])
    elif values["why"] or values["revert"]:
        raise click.UsageError("--why and --revert need --ledger RUN")
    elif values["list_them"] or values["show"] or values["show_insights"] or values["show_interactions"]:
        _show(values)
    elif values["distill"]:
        _distill(values)
    elif values["show_liveness"]:
        _liveness(values)
    elif values["strategy"] and values["reason"]:
        raise click.UsageError("--strategy and --reason exclude each other")
    elif values["strategy"] or values["reason"] or values["resume"]:
        _train(values)
    else:
        raise click.UsageError(
            "say what to do: --reason, --strategy, --distill, --list, --show RUN, --ledger RUN or --liveness"
        )


def ledger_views(folder: Path, why: str | None, revert: str | None) -> None:
    """Show a run's ledger, explain one change, or take it back."""
    from hal9.trainer.record import changes  # noqa: PLC0415 - --help does without
    from hal9.trainer.reporting import views  # noqa: PLC0415 - --help does without

    if revert:
        click.echo("\n".join(changes.revert(folder, revert)))
        return
    with changes.open_ledger(folder, new=False) as ledger:
        lines = views.why_lines(*ledger.get(why)) if why else views.ledger_lines(ledger.rows())
    click.echo("\n".join(lines) or "nothing was changed")


def _options(values: dict[str, Any]) -> Any:
    from hal9.trainer.session import TrainOptions, as_begun  # noqa: PLC0415 - --help does without

    options = TrainOptions(
        run_name=values["run_name"],
        root=values["runs"],
        corpus=corpus_of(values),
        queries=values["queries"],
        space=values["space"],
        workers=values["workers"],
        executor=values["executor"],
        seed=values["seed"],
        resume=values["resume"],
        mind=values["agent"] if values["reason"] else "",
        episodes=values["episodes"],
        strategy=values["strategy"] or "",
        budget=values["budget"] or 0,
        limits=limits_of(values),
        usd_per_call=values["usd_per_call"],
        promptgram=values["promptgram"],
        score_test=not values["no_test"],
    )
    return as_begun(options, {_FIELDS.get(name, name) for name in given_options()})


def _train(values: dict[str, Any]) -> None:
    # Before all that is imported below: a busy machine takes seconds for it.
    click.echo(f"run {values['run_name']}")
    import asyncio  # noqa: PLC0415

    from hal9.errors.trainer import TrainingRunUnknown  # noqa: PLC0415
    from hal9.trainer import session  # noqa: PLC0415
    from hal9.trainer.record.runs import list_runs  # noqa: PLC0415
    from hal9.trainer.reporting.views import episode_line, verdict_lines  # noqa: PLC0415
    from hal9.trainer.stopping import RunStop  # noqa: PLC0415

    options = _options(values)
    if values["resume"] and not options.mind and not options.strategy:
        raise TrainingRunUnknown(
            run=options.run_name, folder=str(options.root), known=tuple(list_runs(options.root))
        )
    best: list[float] = []
    stop = RunStop()

    def tell(entry: Any) -> None:
        best.append(entry["best_ndcg"])
        click.echo(episode_line(entry))

    with stop.heeding_signals(click.echo):
        if options.strategy:
            results = session.train_with_strategy(options, listener=tell, stop=stop, say=click.echo)
        else:
            results = asyncio.run(session.train_with_mind(options, listener=tell, stop=stop, say=click.echo))
    folder = options.root / options.run_name
    click.echo("\n".join(verdict_lines(results, best)))
    click.echo(f"written to {folder}: {', '.join(left_in(folder))}")


def left_in(folder: Path) -> list[str]:
    """What a run left in its folder for a person to open."""
    wanted = ["report.md", "progress.png", "results.json", "results.trained.json"]
    wanted += ["scratchpad.json", "outer_scratchpad.json", "inner_runs"]
    return [name for name in wanted if (folder / name).exists()]


def _show(values: dict[str, Any]) -> None:
    import json  # noqa: PLC0415

    from hal9.trainer.record.runs import load_run  # noqa: PLC0415
    from hal9.trainer.reporting import views  # noqa: PLC0415

    root: Path = values["runs"]
    if values["list_them"]:
        lines = views.list_lines(root) or [f"no runs in {root}"]
    elif values["show"]:
        path = root / values["show"] / "results.json"
        pad = load_run(root, values["show"])
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        lines = views.show_lines(pad, results)
    else:
        pads, damaged = views.readable(root)
        say = views.insight_lines if values["show_insights"] else views.interaction_lines
        lines = [*(say(pads) or ["none were said yet"]), *damaged]
    click.echo("\n".join(lines))


def _liveness(values: dict[str, Any]) -> None:
    from hal9.trainer.evaluation.evaluator import TrainingEvaluator  # noqa: PLC0415
    from hal9.trainer.evaluation.preparing import Preparation  # noqa: PLC0415
    from hal9.trainer.search.space import liveness, why_still  # noqa: PLC0415
    from hal9.trainer.session import open_corpus  # noqa: PLC0415

    corpus = open_corpus(_options(values), click.echo)
    prepared = corpus.prepare("train", Preparation(say=click.echo))
    owners = tuple(corpus.repository(item.case) for item in prepared)
    found = liveness(TrainingEvaluator(prepared, repositories=owners).cases, owners)
    for life in ("alive", "with companions", "dead"):
        names = [name for name, what in found.items() if what == life]
        click.echo(f"{life} ({len(names)}): {', '.join(names) or 'none'}")
    still: dict[str, list[str]] = {}
    for name, what in found.items():
        if why := why_still(name, what):
            still.setdefault(why, []).append(name)
    for why, names in still.items():
        click.echo(f"  {why}: {', '.join(names)}")


def _distill(values: dict[str, Any]) -> None:
    from hal9.trainer.distill import distill_command  # noqa: PLC0415

    if not values["scratchpads"]:
        raise click.UsageError("--distill needs --scratchpad FILE")
    for line in distill_command(
        list(values["scratchpads"]), _options(values), values["presets"], values["preset_name"], click.echo
    ):
        click.echo(line)


def run_cli(command: click.Command) -> None:
    """Run a command; known errors end it with their sentence and exit code."""
    try:
        command()
    except Hal9Error as error:
        click.echo(f"error: {error}", err=True)
        if isinstance(error, PriceUnknown):
            click.echo("A command-line agent's price is given with --usd-per-call.", err=True)
        raise SystemExit(error.exit_code) from error


def main() -> None:
    """Entry point of `ripmap-train`."""
    run_cli(train_command)
