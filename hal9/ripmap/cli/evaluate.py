"""`ripmap eval`, `ripmap cases` and `ripmap params`."""

import sys
from pathlib import Path
from typing import Any

import click

from hal9.ripmap.cli.common import chosen_of, index_options, parameters_of
from hal9.ripmap.settings import IndexSettings, load_settings

__all__ = ["cases_command", "eval_command", "params_command"]

_SEED = 0


@click.command("eval")
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trees", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder of source trees."
)
@click.option(
    "--repo", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Repository of the cases."
)
@click.option("--split", help="Subfolder of CASES to use, such as dev.")
@click.option("--preset", help="A named parameter set.")
@click.option("--params", type=click.Path(path_type=Path, dir_okay=False), help="JSON of parameters.")
@click.option("--all-files", is_flag=True, help="Let every file compete, not only non-test Python files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@index_options
def eval_command(
    cases: tuple[Path, ...],
    trees: Path | None,
    repo: Path | None,
    split: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure rankings on CASES (JSON files or folders): Acc@1/3/5/10, MRR, NDCG@10.

    With --params or --preset, paired against the default parameters: wins, losses and exact p-values.
    The trees are subfolders of --trees, or the parents of the cases' commits in --repo.
    """
    import numpy as np  # noqa: PLC0415 - --help does without

    from hal9.ripmap.evaluation.evaluation import (  # noqa: PLC0415
        Evaluator,
        is_candidate,
        open_trees,
        prepare_cases,
        read_cases,
    )
    from hal9.ripmap.evaluation.git_cases import open_parents  # noqa: PLC0415

    if (trees is None) == (repo is None):
        raise click.UsageError("name either --trees or --repo")
    settings = load_settings(repo or Path.cwd(), IndexSettings(), **chosen_of(options).index)
    loaded = [case for path in cases for case in read_cases(path / split if split else path)]
    opener = open_trees(trees, settings) if trees is not None else open_parents(repo or Path.cwd(), settings)
    with click.progressbar(loaded, label="reading", file=sys.stderr) as shown:
        evaluator = Evaluator(
            prepare_cases(shown, opener, (lambda _: True) if options["all_files"] else is_candidate)
        )
    baseline = evaluator.evaluate()
    parameters = parameters_of(options, settings)
    report = evaluator.evaluate(parameters) if parameters is not None else baseline
    rng = np.random.default_rng(_SEED)
    low, high = report.interval(rng)
    out: dict[str, Any] = {
        "figures": str(report.figures),
        "ndcg": report.figures.ndcg,
        "mrr": report.figures.mrr,
        "accuracy": report.figures.accuracy,
        "ndcg_interval": [low, high],
    }
    if trees is not None:
        out["by_tree"] = {name: str(figures) for name, figures in report.by_tree.items()}
    if parameters is not None:
        compared = report.against(baseline, rng)
        out["baseline"] = str(baseline.figures)
        out["paired"] = {
            f"acc@{k}": {"wins": w, "losses": s, "p": p} for k, (w, s, p) in compared.cuts.items()
        }
        out["ndcg_difference"] = compared.ndcg_difference
        out["ndcg_difference_interval"] = list(compared.interval)
    _print(out, as_json=as_json)


def _print(out: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json  # noqa: PLC0415

        click.echo(json.dumps(out, indent=1))
        return
    click.echo(f"{out['figures']}  (NDCG 95% {out['ndcg_interval'][0]:.3f} to {out['ndcg_interval'][1]:.3f})")
    if "baseline" in out:
        click.echo(f"{out['baseline']}  defaults")
        for name, cell in out["paired"].items():
            click.echo(f"  {name}: {cell['wins']} won, {cell['losses']} lost, p = {cell['p']:.3g}")
        low, high = out["ndcg_difference_interval"]
        click.echo(f"  NDCG@10 {out['ndcg_difference']:+.4f} (95% {low:+.4f} to {high:+.4f})")
    for name, figures in out.get("by_tree", {}).items():
        click.echo(f"  {name}: {figures}")


@click.command("cases")
@click.argument("repo", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".")
@click.option("--since", default="", help="Only commits after this revision.")
@click.option("--until", default="HEAD", help="Only commits up to this revision. [HEAD]")
@click.option("--limit", type=click.IntRange(min=1), default=500, help="At most so many cases. [500]")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default="cases.json")
def cases_command(repo: Path, since: str, until: str, limit: int, output: Path) -> None:
    """Make ranking cases from REPO's history.

    The message asks, the diff answers, the parent's tree is searched.
    """
    from hal9.ripmap.evaluation.git_cases import CaseRules, cases_from_history, write_cases  # noqa: PLC0415

    found = cases_from_history(repo.resolve(), since=since, until=until, rules=CaseRules(limit=limit))
    write_cases(found, output)
    leaks = sum(case.leak for case in found)
    click.echo(f"{len(found)} cases written to {output}; {leaks} name a changed file (marked as leaks)")


@click.command("params")
@click.option("--schema", is_flag=True, help="Print the JSON schema instead.")
def params_command(schema: bool) -> None:
    """List every parameter with its default, range, scale and meaning."""
    from hal9.ripmap.parameters import parameter_table, parameters_schema  # noqa: PLC0415

    if schema:
        import json  # noqa: PLC0415

        click.echo(json.dumps(parameters_schema(), indent=1))
    else:
        click.echo(parameter_table())
