"""`hal9 learn FILES…`: what other agents' runs teach."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import json_option, print_json
from hal9.cli.learning.memory import open_store

if TYPE_CHECKING:
    from hal9.ingest import ReadReport

__all__ = ["learn"]

_BATCH = 20


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option
@click.pass_context
def learn(ctx: click.Context, files: tuple[Path, ...], quiet: bool, as_json: bool) -> None:
    """Learn from runs that exist: mini-swe-agent, Claude Code, Codex, OpenHands, or plain JSON lines.

    FILES may be folders. Runs that were read before are left out, secrets are masked, nothing leaves the
    machine; ended half way, it goes on where it was.
    """
    from hal9.ingest import ReadReport, read_runs
    from hal9.learning.guards.remembered import remember_actions
    from hal9.learning.runs.run_store import RunStore

    report = ReadReport()
    costs: Counter[tuple[str, ...]] = Counter()
    foretold = 0
    with open_store(ctx) as store:
        mined = RunStore(store)
        waiting = []
        taken: list[tuple[str, bool]] = []
        for run in read_runs(files, known=mined.known_runs(), report=report):
            for reading in mined.miner.read(run):
                foretold += int(reading.expected is not None and reading.failure is not None)
                if reading.failure is not None:
                    costs[run.repo, *reading.failure.cause] += 1
                if reading.step.command and reading.step.exit_code is not None:
                    taken.append((reading.step.command, reading.step.exit_code == 0))
            waiting.append(run)
            if len(waiting) == _BATCH:
                with store.writing():
                    mined.save(waiting)
                    remember_actions(store, taken)
                waiting, taken = [], []
                if not quiet:
                    click.echo(f"{report.runs} runs, {report.steps} steps …", err=True)
        with store.writing():
            mined.save(waiting)
            remember_actions(store, taken)
        advice = {
            repo: mined.miner.advice.advise(repo, least_runs=2) for repo in sorted({key[0] for key in costs})
        }
    told = {repo: [one.text for one in found] for repo, found in advice.items()}
    if as_json:
        print_json({**_figures(report), "foretold": foretold, "causes": _causes(costs), "advice": told})
        return
    _tell(report, costs, foretold, told)


def _figures(report: "ReadReport") -> dict[str, Any]:
    return {
        "files": report.files,
        "runs": report.runs,
        "steps": report.steps,
        "known_before": report.known,
        "unreadable_lines": report.bad_lines,
        "formats": report.formats,
    }


def _causes(costs: Counter[tuple[str, ...]]) -> list[dict[str, Any]]:
    return [{"repo": key[0], "cause": list(key[1:]), "steps": count} for key, count in costs.most_common(50)]


def _tell(
    report: "ReadReport", costs: Counter[tuple[str, ...]], foretold: int, told: dict[str, list[str]]
) -> None:
    if not report.runs and not report.known:
        click.echo("no runs of a known kind in these files; `hal9 learn --help` says which kinds are known")
    click.echo(f"{report.runs} runs with {report.steps} steps read, {report.known} known before")
    if report.bad_lines:
        click.echo(f"{report.bad_lines} lines could not be read (a session that still runs ends in mid-line)")
    total = sum(costs.values())
    if total:
        click.echo(f"{total} steps failed with an error; {foretold} of them earlier steps had foretold")
        click.echo("what recurs most:")
    for key, count in costs.most_common(8):
        if count > 1:
            click.echo(f"  {count:>4} x {': '.join(key[1:])[:90]}  ({key[0] or 'no repository'})")
    for repo, lines in told.items():
        if lines:
            click.echo(f"before a first step in {repo or 'other folders'} it will be said:")
            for line in lines:
                click.echo(f"  - {line}")
