"""`ripmap-train-outer`: evolve the promptgram that steers the ranker's tuner."""

from pathlib import Path
from typing import Any

import click

from hal9 import __version__
from hal9.trainer.cli.main import given_options, ledger_views, left_in, limit_options, limits_of, run_cli

__all__ = ["main", "outer_command"]

_FIELDS = {
    "no_test": "score_test",
    **dict.fromkeys(("limit_tokens", "limit_usd", "limit_seconds", "limit_calls"), "limits"),
}
"""Options whose names are others than those of what they set."""


@click.command("ripmap-train-outer", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ripmap-train-outer")
@click.argument("run_name")
@click.option(
    "--steps-outer", type=click.IntRange(min=1), default=10, show_default=True, help="Proposals of L2."
)
@click.option(
    "--episodes-inner",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Episodes of each inner run.",
)
@click.option("--corpus", default="curated", show_default=True, help="curated, quick, or a repository.")
@click.option(
    "--queries",
    type=click.Choice(["plain", "issue", "both"]),
    default="plain",
    show_default=True,
    help="Cases as commits put them, as users would report them, or both.",
)
@click.option(
    "--agent-outer", default="codex", show_default=True, help="L2: claude, gemini, codex, local, or a spec."
)
@click.option("--agent-inner", default="claude", show_default=True, help="L1: the same choices.")
@click.option(
    "--topology",
    type=click.Choice(["stack", "search", "population"]),
    default="stack",
    show_default=True,
    help="Strict levels, the search of `hal9 tune`, or nodes that exchange signals.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Inner runs per promptgram, on the same seeds for all.",
)
@click.option(
    "--explore",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Chance to edit another promptgram than the best.",
)
@click.option(
    "--warm-start", is_flag=True, help="Begin each step from the best parameters so far (recorded)."
)
@click.option(
    "--space",
    type=click.Choice(["weights", "seed", "live", "all"]),
    default="live",
    show_default=True,
    help="Which parameters may move.",
)
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
    "--root",
    type=click.Path(path_type=Path),
    default=Path("training-outer"),
    show_default=True,
    help="Folder of outer runs and evolved promptgrams.",
)
@click.option("--resume", is_flag=True, help="Go on with a run of this name.")
@click.option("--dry", is_flag=True, help="Say what would be done, and stop.")
@click.option("--no-test", is_flag=True, help="Do not score the test split at the end.")
@click.option("--ledger", is_flag=True, help="Show the run's changes: edits, and the best parameters met.")
@click.option("--why", metavar="CHANGE", help="One change of the run with its evidence.")
@click.option("--revert", metavar="CHANGE", help="Take a change of the run back.")
@limit_options
def outer_command(**values: Any) -> None:
    """Run L2 over L1: edit the promptgram, measure tuners under it from one start, keep what helps.

    \b
    ripmap-train-outer my_l2_run --steps-outer 10 --episodes-inner 5 --agent-outer gemini --agent-inner claude
    """  # noqa: D301 - click reads \b
    ledger, why, revert = (values.pop(name) for name in ("ledger", "why", "revert"))
    if ledger or why or revert:
        ledger_views(values["root"] / "runs" / values["run_name"], why, revert)
        return
    # Before all that is imported below: a busy machine takes seconds for it.
    click.echo(f"run {values['run_name']}")
    import asyncio  # noqa: PLC0415 - --help does without

    from hal9.trainer.outer_session import OuterOptions, as_begun, dry_run, train_outer  # noqa: PLC0415
    from hal9.trainer.reporting.views import episode_line, verdict_lines  # noqa: PLC0415
    from hal9.trainer.stopping import RunStop  # noqa: PLC0415

    dry, no_test, limits = values.pop("dry"), values.pop("no_test"), limits_of(values)
    for kind in ("tokens", "usd", "seconds", "calls"):
        values.pop(f"limit_{kind}")
    options = as_begun(
        OuterOptions(**values, limits=limits, score_test=not no_test),
        {_FIELDS.get(name, name) for name in given_options()},
    )
    if dry:
        click.echo("\n".join(dry_run(options)))
        return
    stop = RunStop()
    with stop.heeding_signals(click.echo):
        results = asyncio.run(
            train_outer(
                options,
                on_step=tell_step,
                on_episode=lambda entry: click.echo("  " + episode_line(entry)),
                stop=stop,
                say=click.echo,
            )
        )
    click.echo("\n".join(verdict_lines(results)))
    loss = results["meta_loss"]
    if loss is not None:
        low, high = loss["interval"]
        click.echo(
            f"best promptgram {results['best_prompt_id']}: {loss['mean']:.4f} ({low:.4f} to {high:.4f})"
        )
    proven = sum(item["proven"] for item in results["what_helped"])
    click.echo(f"{proven} of {len(results['what_helped'])} measured edits helped beyond their interval")
    click.echo(f"written to {options.folder}: {', '.join(left_in(options.folder))}")


def tell_step(entry: Any) -> None:
    """Show a step, unless it is one of the population's turns in which nothing was tried."""
    if entry.get("what") != "turn" or entry["facts"]["trial"]:
        click.echo(step_line(entry))


def step_line(entry: Any) -> str:
    """One outer step, or one line of the population's log, in one line."""
    number = entry["outer_step"] + 1
    if "what" in entry:
        facts = entry["facts"]
        told = facts.get("reason") or facts.get("about") or ""
        if facts.get("trial"):
            edit, outcome, gain = facts["trial"]
            return f"{number:3d}  {entry['node']} tried edit {edit[:8]}: {outcome}, {gain:+.4f}"
        to = f" to {facts['target']}" if facts.get("target") else ""
        return f"{number:3d}  {entry['node']}: {entry['what']}{to} {told}".rstrip()
    if entry["problem"]:
        return (
            f"{number:3d}  {entry['parent']} ({entry['selection_mode']}): refused: {entry['problem'][:120]}"
        )
    delta = entry["delta"]
    named = "".join(f"  ! {name}" for name in entry["detections"])
    return (
        f"{number:3d}  {entry['parent']} -> {entry['prompt_id']} ({entry['selection_mode']}): "
        f"{entry['final']['ndcg']:.4f}, {delta['ndcg']:+.4f} ± {delta['error']:.4f}{named}"
    )


def main() -> None:
    """Entry point of `ripmap-train-outer`."""
    run_cli(outer_command)
