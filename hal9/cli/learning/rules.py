"""`hal9 rules …`, `hal9 remember`, `hal9 forget`: what holds where, why, and how to change it."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import OutputFile, home_of, json_option, open_server, print_json, run, view
from hal9.cli.learning.memory import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hal9.api.remote import RemoteCluster
    from hal9.learning.rules.narrowing import Narrowing
    from hal9.memory import MemoryScope, Rule
    from hal9.memory.rules.rule_files import ChosenRules

__all__ = ["forget", "remember", "rules"]

_FIRST_LINES = 6


@click.group(invoke_without_command=True)
@click.option("--for", "path", metavar="PATH", help="Only what holds for this file or folder.")
@click.option("--all", "everything", is_flag=True, help="Also what is out of use.")
@json_option
@click.pass_context
def rules(ctx: click.Context, path: str | None, everything: bool, as_json: bool) -> None:
    """List rules: what holds where, since when, why, how often it helped, and how to undo it."""
    if ctx.invoked_subcommand is not None:
        return
    if path is None and open_server(ctx) is not None:
        _list_told(view(ctx, "rules"), everything=everything, as_json=as_json)
        return
    from hal9.learning.rules.narrowing import narrowing_of
    from hal9.memory import RuleStore

    with open_store(ctx) as store:
        book = RuleStore(store)
        found = book.all() if everything else book.all(states=("admitted", "candidate"))
        if path is not None:
            scope = _task_scope(path)
            found = [one for one in found if one.scope.covers(scope)]
        narrower = {one.id: seen for one in found if (seen := narrowing_of(store, one)) is not None}
    chosen = _rule_files(path, home_of(ctx).settings().memory.rule_file_tokens)
    if as_json:
        left = [{"file": one.file, "section": one.heading, "why": one.why} for one in chosen.left_out]
        print_json({"rules": [_as_json(one) for one in found], "files": list(chosen.shown),
                    "text": chosen.text, "left_out": left})  # fmt: skip
        return
    if not found and not chosen.shown and not chosen.left_out:
        click.echo('no rules yet; `hal9 remember "…" --for project` adds one, so does `hal9 feedback`.')
    for one in sorted(found, key=lambda rule: rule.id):
        _show(_as_json(one), narrower.get(one.id))
    _show_files(chosen, whole=path is not None)


def _list_told(rows: list[dict[str, Any]], *, everything: bool, as_json: bool) -> None:
    """Rules of a cluster far away; what AGENTS.md says there is read there."""
    found = [
        {**one, "holds_for": one["scope"]}
        for one in rows
        if everything or one["state"] in ("admitted", "candidate")
    ]
    if as_json:
        print_json({"rules": found})
        return
    if not found:
        click.echo('no rules yet; `hal9 remember "…" --for project` adds one, so does `hal9 feedback`.')
    for one in sorted(found, key=lambda rule: int(rule["id"])):
        _show(one, None)


def _show(one: dict[str, Any], narrower: "Narrowing | None") -> None:
    day = datetime.fromtimestamp(one["created"]).astimezone().strftime("%Y-%m-%d")
    record = f"helped {one['helped']} of {one['tried']}" if one["tried"] else "not tried yet"
    click.echo(f"{one['id']:>4}  {one['rule']}")
    click.echo(f"      holds for {one['holds_for']} · {one['state']} since {day}: {one['why']} · {record}")
    if one["state"] == "admitted":
        click.echo(f"      hal9 rules set {one['id']} --for PLACE · hal9 rules forget {one['id']}")
    if narrower is not None:
        place = narrower.place.removesuffix("/**")
        click.echo(f"      {narrower.told()}: hal9 rules set {one['id']} --for {place}")


def _as_json(one: "Rule") -> dict[str, Any]:
    return {
        "id": one.id,
        "rule": one.rule,
        "holds_for": one.scope.label(),
        "scope": one.scope.parts(),
        "state": one.state,
        "why": one.state_reason,
        "source": one.source,
        "tried": one.tried,
        "helped": one.helped,
        "failed": one.failed,
        "hurt": one.hurt,
        "created": one.created,
    }


def _task_scope(path: str) -> "MemoryScope":
    return _with_roles("", [path])


def _with_roles(task: str, paths: "Sequence[str]") -> "MemoryScope":
    """The scope of a task here, for everybody who may have to do with it."""
    from dataclasses import replace

    from hal9.memory import scope_of
    from hal9.memory.rules.roles import ROLES

    return replace(scope_of(task, workspace=str(Path.cwd()), paths=paths), roles=ROLES)


def _rule_files(path: str | None, tokens: int) -> "ChosenRules":
    """What AGENTS.md and CLAUDE.md say for a path, as it goes into a prompt with a large window."""
    from hal9.memory.rules.rule_files import choose_rules
    from hal9.neurons.rule_files import read_rule_files

    touched = [] if path is None else [path.rstrip("/") + "/" * Path(path).is_dir()]
    return choose_rules(read_rule_files(Path.cwd(), touched), tokens=tokens)


def _show_files(chosen: "ChosenRules", *, whole: bool) -> None:
    """The files of rules, what of them goes into prompts (`whole`: word for word), and what does not."""
    if chosen.shown:
        click.echo(
            f"      {', '.join(chosen.shown)}: read before each task there ({chosen.tokens} tokens), never "
            "written"
        )
    lines = chosen.text.split("\n") if chosen.text else []
    shown = lines if whole else [line for line in lines[1:] if line][:_FIRST_LINES]
    for line in shown:
        click.echo(f"        {line}")
    if len(shown) < len(lines):
        click.echo("        … (`hal9 rules --for PATH` shows all of it)")
    for one in chosen.left_out:
        click.echo(f"      left out: {one.file}{' · ' + one.heading if one.heading else ''}: {one.why}")


def _here() -> str:
    """The repository one stands in, by what makes it the same one on every machine."""
    from hal9.memory import repository_of

    return repository_of(str(Path.cwd())).identity


@rules.command("set")
@click.argument("rule_id", type=int)
@click.option(
    "--for", "wanted", metavar="PLACE", help="project, a folder, a file, a glob, or a kind of work."
)
@json_option
@click.pass_context
def set_rule(ctx: click.Context, rule_id: int, wanted: str | None, as_json: bool) -> None:
    """Let a rule hold for another place."""
    if wanted is None:
        raise click.UsageError("say where it is to hold, for example --for project or --for src/billing.")
    from hal9.learning.gate.rule_rollback import set_rule_scope
    from hal9.learning.rules.taught import rule_place
    from hal9.memory import RuleStore

    with open_store(ctx) as store:
        book = RuleStore(store)
        before = book.get(rule_id)
        scope = rule_place(wanted, before.scope.workspace)
        set_rule_scope(store, rule_id, scope, cause="hal9 rules set", actor="user")
        after = book.get(rule_id)
    if as_json:
        print_json(_as_json(after))
    else:
        click.echo(f"rule {rule_id} holds for {after.scope.label()} now (before: {before.scope.label()})")


@rules.command("forget")
@click.argument("rule_id", type=int)
@json_option
@click.pass_context
def forget_rule(ctx: click.Context, rule_id: int, as_json: bool) -> None:
    """Take a rule back; it never returns by itself."""
    if (far := open_server(ctx)) is not None:
        told = run(_ask(far, f"/v1/rules/{rule_id}/forget", {}))
        told["holds_for"] = told["scope"]
    else:
        from hal9.learning.rules.taught import withdraw

        with open_store(ctx) as store:
            told = _as_json(withdraw(store, rule_id, cause="hal9 forget"))
    if as_json:
        print_json(told)
    else:
        click.echo(
            f"rule {rule_id} is out of use: {told['rule']}\n(`hal9 rules keep {rule_id}` brings it back)"
        )


async def _ask(far: "RemoteCluster", path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with far as cluster:
        return await cluster.ask(path, body)


@click.command()
@click.argument("rule_id", type=int)
@json_option
@click.pass_context
def forget(ctx: click.Context, rule_id: int, as_json: bool) -> None:
    """Take a rule back; the same as `hal9 rules forget`."""
    ctx.invoke(forget_rule, rule_id=rule_id, as_json=as_json)


@rules.command("keep")
@click.argument("rule_id", type=int)
@click.pass_context
def keep_rule(ctx: click.Context, rule_id: int) -> None:
    """Bring a rule into force, or keep one that was doubted."""
    from hal9.learning.rules.withdrawing import RuleLife
    from hal9.memory import RuleStore

    with open_store(ctx) as store:
        book = RuleStore(store)
        RuleLife(store, book).set_state(
            book.get(rule_id), "admitted", "the user's word", cause="hal9 rules keep", actor="user"
        )
    click.echo(f"rule {rule_id} is in force")


@rules.command("test")
@click.argument("rule_id", type=int)
@click.argument("task")
@click.pass_context
def test_rule(ctx: click.Context, rule_id: int, task: str) -> int:
    """Say whether a rule would be recalled for a TASK in words, here."""
    from hal9.memory import RuleStore

    with open_store(ctx) as store:
        one = RuleStore(store).get(rule_id)
    scope = _with_roles(task, [])
    covered = one.scope.covers(scope)
    touched = ", ".join(scope.paths) or "no file that it names"
    verdict = "reaches" if covered else "does not reach"
    click.echo(
        f"rule {rule_id} {verdict} this task: it holds for {one.scope.label()}; the task touches {touched}"
    )
    return 0 if covered else 1


@rules.command("export")
@click.option("--agents-md", "target", type=OutputFile(), help="Write a section of this file.")
@click.pass_context
def export_rules(ctx: click.Context, target: Path | None) -> None:
    """Print the rules of this project as Markdown, or write them into an AGENTS.md."""
    from hal9.memory import RuleStore, repository_of
    from hal9.memory.rules.rule_files import as_markdown, with_section

    identity = repository_of(str(Path.cwd())).identity
    with open_store(ctx) as store:
        known = RuleStore(store).all(states=("admitted",))
    text = as_markdown([one for one in known if one.scope.workspace in (identity, "*") and one.scope.place])
    if target is None:
        click.echo(text, nl=False)
        return
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    beside = target.with_name(target.name + ".hal9-new")
    beside.write_text(with_section(before, text), encoding="utf-8")
    os.replace(beside, target)  # noqa: PTH105 - one step, so that no reader sees half a file
    click.echo(f"{target}: the section between the hal9 marks holds {text.count(chr(10) + '- ')} rules")


@rules.command("guard")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--rule", "rule_id", type=int, help="The rule that it enforces.")
@click.option("--yes", is_flag=True, help="Let it hold without asking.")
@click.pass_context
def guard_command(ctx: click.Context, file: Any, rule_id: int | None, yes: bool) -> int:
    """Add a guard from a YAML FILE ("-" for standard input); shows what it would have stopped."""
    from hal9.learning.guards.guard_form import parse_guard
    from hal9.learning.guards.guard_store import GuardStore
    from hal9.learning.guards.remembered import remembered_actions
    from hal9.memory import repository_of

    guard = parse_guard(file.read())
    with open_store(ctx) as store:
        book = GuardStore(store)
        remembered = remembered_actions(store)
        hits = book.would_fire(guard, remembered)
        for action, went_well in hits[:20]:
            click.echo(
                f"  would have fired on: {action.text[:100]!r} ({'went well' if went_well else 'failed'})"
            )
        click.echo(f"{len(hits)} of {len(remembered)} remembered actions")
        if not yes and not click.confirm("Let it hold?"):
            return 1
        workspace = repository_of(str(Path.cwd())).identity
        number = book.add(
            guard, workspace=workspace, source="user", rule_id=rule_id, cause="hal9 rules guard"
        )
        one = book.accept(number, remembered, cause="hal9 rules guard")
    click.echo(f"guard {number} {one.state}: {one.state_reason}")
    return 0


@rules.command("enforce")
@click.argument("rule_id", type=int)
@click.pass_context
def enforce_rule(ctx: click.Context, rule_id: int) -> int:
    """Let a rule be checked before each action, where its words allow it."""
    from hal9.learning.guards.guard_store import GuardStore
    from hal9.learning.guards.offering import offer_for
    from hal9.learning.guards.remembered import remembered_actions
    from hal9.memory import RuleStore

    with open_store(ctx) as store:
        one = RuleStore(store).get(rule_id)
        offer = offer_for(store, one.rule)
        if offer is None:
            click.echo(
                f"rule {rule_id} says nothing that can be checked before an action; "
                "`hal9 rules guard FILE.yaml` adds a guard of your own"
            )
            return 1
        for action, went_well in offer.fired[:20]:
            click.echo(
                f"  would have stopped: {action.text[:100]!r} ({'went well' if went_well else 'failed'})"
            )
        book = GuardStore(store)
        cause = "hal9 rules enforce"
        number = book.add(
            offer.guard, workspace=one.scope.workspace, source="user", rule_id=rule_id, cause=cause
        )
        guard = book.accept(number, remembered_actions(store), cause=cause)
    click.echo(
        f"guard {number} {guard.state}: {guard.state_reason} (`hal9 rules unguard {number}` takes it back)"
    )
    return 0


@rules.command("guards")
@json_option
@click.pass_context
def guards_command(ctx: click.Context, as_json: bool) -> None:
    """List guards with their record."""
    from hal9.learning.guards.guard_store import GuardStore
    from hal9.learning.guards.predicate import guard_as_json

    with open_store(ctx) as store:
        found = GuardStore(store).all()
    if as_json:
        print_json([{**guard_as_json(one.guard), "id": one.id, "state": one.state} for one in found])
        return
    for one in found:
        click.echo(
            f"{one.id:>4}  {one.state} · {one.guard.effect}: {one.guard.say}\n      fired {one.fired}, "
            f"heeded {one.heeded}, overridden {one.overridden}, wrong {one.wrong} · {one.state_reason}"
        )
    if not found:
        click.echo("no guards; `hal9 rules guard FILE.yaml` adds one.")


@rules.command("unguard")
@click.argument("number", type=int)
@click.pass_context
def unguard_command(ctx: click.Context, number: int) -> None:
    """Take a guard back."""
    from hal9.learning.guards.guard_store import GuardStore

    with open_store(ctx) as store:
        GuardStore(store).withdraw(number, cause="hal9 rules unguard")
    click.echo(f"guard {number} is withdrawn")


@click.command()
@click.argument("text")
@click.option(
    "--for", "wanted", default="project", show_default=True, help="project, folder, file, glob or kind."
)
@json_option
@click.pass_context
def remember(ctx: click.Context, text: str, wanted: str, as_json: bool) -> int:
    """Give a rule in your own words; it holds at once."""
    if (far := open_server(ctx)) is not None:
        body = {"text": text, "holds_for": wanted, "workspace": _here()}
        told = run(_ask(far, "/v1/rules", body))
        number, said = told["rule"], told["said"]
    else:
        from hal9.learning.rules.taught import rule_place, teach

        with open_store(ctx, embedder=True) as store:
            number, said = teach(store, text, rule_place(wanted, _here()), cause="hal9 remember")
    if as_json:
        print_json({"rule": number, "said": said})
    else:
        for line in said:
            click.echo(line)
    return 0 if number is not None else 1
