"""`hal9 tune`: make a neuron's prompt better on one's own tasks."""

import asyncio
import hashlib
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, home_of, json_option, print_json, run
from hal9.cli.learning.memory import open_store

if TYPE_CHECKING:
    from hal9.cluster import Home
    from hal9.neurons import NeuronDefinition
    from hal9.promptgram import Promptgram
    from hal9.tuning import Promotion, SearchStep, TuneResult, TuningRoles, TuningTask

__all__ = ["tune"]

_UNBOUNDED = 1e15
_SIGNS = {
    "kept": "+",
    "merged": "+",
    "specialists": "+",
    "dropped": "-",
    "pruned": "~",
    "measured": "=",
    "no idea": ".",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@click.command()
@click.argument("neuron")
@click.argument("tasks", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mind", "spec", help="Who does the tasks (default: the neuron's own model).")
@click.option("--reflect", "reflect_spec", help="Who reads failures and proposes edits (default: as --mind).")
@click.option(
    "--budget", default=200, show_default=True, type=click.IntRange(min=1), help="Task calls of the search."
)
@click.option("--limit-tokens", type=click.IntRange(min=1), help="Tokens of the whole run.")
@click.option("--limit-usd", type=click.FloatRange(min=0), help="Dollars of the whole run.")
@click.option("--from-journal", is_flag=True, help="Take the tasks that the cluster remembers.")
@click.option("--run-name", help="Name of the run; the same name goes on with it.")
@click.option("--seed", default=0, show_default=True)
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(min=1, max=64))
@click.option(
    "--promote/--no-promote",
    default=True,
    show_default=True,
    help="Bring a certainly better prompt into force.",
)
@json_option
@click.pass_context
def tune(ctx: click.Context, /, neuron: str, tasks: Path | None, **options: Any) -> None:
    """Make NEURON's prompt better on the tasks of a file, measured on tasks it never saw.

    TASKS is YAML (`tasks:`, each with `input` and one of `expected`, `check`, `judge`) or JSONL. A quarter
    of them is held out. Run the same command again to go on after an interruption: nothing is asked twice.
    """
    if (tasks is None) == (not options["from_journal"]):
        raise click.UsageError("give a file of tasks, or --from-journal")
    if options["run_name"] is not None and not _NAME.fullmatch(options["run_name"]):
        raise click.BadParameter("letters, digits, dots and dashes only", param_hint="--run-name")
    home = home_of(ctx)
    home.make_state()
    definitions = _definitions(home)
    if neuron not in definitions:
        from hal9.errors.learning import NeuronUnknown

        raise NeuronUnknown(neuron=neuron, known=tuple(sorted(definitions)))
    result, promotion, shared, name = run(_tune(ctx, home, definitions, neuron, tasks, options))
    if options["as_json"]:
        print_json(
            {
                "run": name,
                "held_out": {
                    "tasks": result.held_out.tasks,
                    "before": result.held_out.before,
                    "after": result.held_out.after,
                    "gain": result.held_out.gain,
                    "low": result.held_out.low,
                    "high": result.held_out.high,
                },
                "task_calls": result.task_calls,
                "proposals": result.proposals,
                "tokens": result.usage.prompt_tokens + result.usage.completion_tokens,
                "usd": result.usage.usd,
                "promoted": promotion.applied,
                "change": promotion.change,
                "specialists": _routed_json(result, shared),
                "winner": str(result.folder / "winner.md"),
                "report": str(result.folder / "report.md"),
            }
        )
        return
    _print(result, promotion.told, shared.told)


def _definitions(home: "Home") -> "dict[str, NeuronDefinition]":
    from hal9.neurons import load_neurons

    return load_neurons(home.neurons, enabled=home.settings().neurons.enabled)


async def _tune(
    ctx: click.Context,
    home: "Home",
    definitions: "dict[str, NeuronDefinition]",
    neuron: str,
    path: Path | None,
    options: dict[str, Any],
) -> "tuple[TuneResult, Promotion, Promotion, str]":
    from hal9.learning import PromptStore
    from hal9.tuning import TuneSettings, load_tasks, promote, run_tuning
    from hal9.tuning.record import keep_outcome
    from hal9.tuning.router import routers_folder
    from hal9.tuning.specialising import SpecialistPlace, promote_specialists
    from hal9.tuning.tasks import remembered_tasks

    settings = home.settings()
    files = {name: one.promptgram for name, one in definitions.items()}
    with open_store(ctx) as store:
        given = load_tasks(path) if path is not None else remembered_tasks(store)
        base = PromptStore(store, files).current(neuron)
        name = options["run_name"] or _run_name(base, given, options)
        async with AsyncExitStack() as stack:
            roles, told = await _roles(stack, home, definitions[neuron], f"tune-{name}", options)
            if not options["as_json"]:
                _tell_before(given, options, name, told)
            folder = home.state / "tuning" / name
            chosen = TuneSettings(**{key: options[key] for key in ("budget", "seed", "concurrency")})
            try:
                result = await run_tuning(
                    base,
                    given,
                    roles,
                    folder,
                    settings=chosen,
                    listener=None if options["as_json"] else _show,
                )
            except asyncio.CancelledError:
                click.echo(f"what was asked is kept in {folder}; the same command goes on", err=True)
                raise
        promotion = promote(
            store,
            files,
            neuron,
            result,
            actor=roles.reflect.name,
            settings=settings,
            wanted=options["promote"],
        )
        shared = promote_specialists(
            store,
            files,
            neuron,
            result,
            SpecialistPlace(home.neurons, routers_folder(home.state)),
            actor=roles.reflect.name,
            settings=settings,
            wanted=options["promote"],
        )
    keep_outcome(folder, (promotion.told, shared.told if result.routed is not None else ""))
    return result, promotion, shared, name


async def _roles(
    stack: AsyncExitStack, home: "Home", definition: "NeuronDefinition", task_id: str, options: dict[str, Any]
) -> "tuple[TuningRoles, str]":
    """Open the minds within the home's budgets and the run's own limits; and who does what, in words."""
    from hal9.budgets import BudgetStore, Limit
    from hal9.cluster.services.thinking import MindPool, budget_limits
    from hal9.tuning import AnswerScorer, MindAnswerer, TuningRoles, compose_task

    settings, meta = home.settings(), definition.meta
    # One task's cap is meant for one task; a run of hundreds has limits of its own.
    limits = [one for one in budget_limits(settings) if one.scope != "task"]
    book = stack.enter_context(BudgetStore(home.budgets, limits))
    # Always set: a run that goes on is held to what is given now, not to what ended it before. (A limit of
    # dollars that nobody gave would refuse minds whose price is unknown.)
    own = [Limit(kind="tokens", scope="task", value=float(options["limit_tokens"] or _UNBOUNDED))]
    if options["limit_usd"] is not None:
        own.append(Limit(kind="usd", scope="task", value=float(options["limit_usd"])))
    book.limit_task(task_id, own)
    pool = await stack.enter_async_context(MindPool(lambda: settings, book))
    doing = await pool.mind(options["spec"] or meta.model)
    reflecting = await pool.mind(options["reflect_spec"] or options["spec"] or "default")
    answerer = MindAnswerer(
        doing,
        compose_task,
        temperature=meta.temperature,
        max_tokens=meta.max_tokens,
        timeout_seconds=meta.timeout,
        task_id=task_id,
        seed=options["seed"],
    )
    scorer = AnswerScorer(settings.workbench, reflecting, task_id)
    roles = TuningRoles(answerer=answerer, scorer=scorer, reflect=reflecting, task_id=task_id)
    return roles, f"{doing.name} does the tasks, {reflecting.name} proposes"


def _run_name(prompt: "Promptgram", given: "tuple[TuningTask, ...]", options: dict[str, Any]) -> str:
    """The same command on the same prompt finds the same run."""
    facts = [prompt.content_hash, *(task.model_dump_json() for task in given)]
    facts += [str(options[key]) for key in ("spec", "reflect_spec", "budget", "seed")]
    return f"{prompt.id}-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:8]}"


def _tell_before(given: "tuple[TuningTask, ...]", options: dict[str, Any], name: str, told: str) -> None:
    from hal9.tuning import split_tasks

    split = split_tasks(given, seed=options["seed"])
    held_out = 2 * len(split.held_out)
    click.echo(
        f"run {name}: {len(given)} tasks ({len(split.train)} propose, {len(split.selection)} choose, "
        f"{len(split.held_out)} held out)\n{told}; at most {options['budget']} task calls, then {held_out} "
        f"for the held-out comparison (up to {3 * held_out} where answers vary)"
    )


def _show(step: "SearchStep") -> None:
    console().print(f"{step.calls:5d}  {step.score:.3f}  {_SIGNS[step.kind]} {step.text[:200]}", markup=False)


def _routed_json(result: "TuneResult", shared: "Promotion") -> dict[str, Any] | None:
    if result.routed is None:
        return None
    figures = {name: getattr(result.routed, name) for name in ("single", "routed", "own", "low", "high")}
    return {**figures, "promoted": shared.applied, "changes": shared.change}


def _print(result: "TuneResult", told: str, shared: str) -> None:
    from hal9.promptgram import diff

    click.echo(f"\n{result.held_out.told()}")
    if result.routed is not None:
        click.echo(f"{result.routed.told()}\n{shared}")
    if result.after.render() != result.before.render():
        click.echo(diff(result.before, result.after).strip())
    tokens = result.usage.prompt_tokens + result.usage.completion_tokens
    cost = "price unknown" if result.usage.usd is None else f"${result.usage.usd:.4f}"
    click.echo(
        f"{told}\n{result.task_calls} task calls, {result.proposals} proposals, {tokens} tokens, {cost}"
    )
    click.echo(f"report: {result.folder / 'report.md'}")
