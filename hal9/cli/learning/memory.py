"""`hal9 patterns`, `hal9 memory …`, `hal9 setup …`."""

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import OutputFile, console, home_of, json_option, print_json, run, view
from hal9.cli.learning.feedback import ask_daemon, show_answer

if TYPE_CHECKING:
    from hal9.memory import MemoryStore

__all__ = ["memory", "patterns", "setup"]


def open_store(ctx: click.Context, *, embedder: bool = False) -> "MemoryStore":
    """The home's memory file, as another process may read it beside the daemon; use it with `with`."""
    from hal9.memory import MemoryStore

    home = home_of(ctx)
    home.make_state()
    made = None
    if embedder:
        from hal9.cluster.services.learning import choose_embedder

        made, notice = choose_embedder(home.settings().memory.embedder)
        if notice:
            click.echo(notice, err=True)
    return MemoryStore(home.memory, embedder=made)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def patterns(ctx: click.Context, as_json: bool) -> None:
    """List error patterns, surest first; `show ID` shows one with its rules."""
    if ctx.invoked_subcommand is not None:
        return
    found = view(ctx, "patterns")
    if as_json:
        print_json(found)
    elif found:
        from hal9.cli.learning.render_learning import pattern_lines

        for line in pattern_lines(found):
            console().print(line)
    else:
        click.echo("no patterns yet; three errors of one kind in one place form one.")


@patterns.command("show")
@click.argument("pattern_id", type=int)
@json_option
@click.pass_context
def show_pattern(ctx: click.Context, pattern_id: int, as_json: bool) -> None:
    """Show one pattern: its errors, its rules and how they did."""
    found = view(ctx, "pattern", id=pattern_id)
    if as_json:
        print_json(found)
        return
    from hal9.cli.learning.render_learning import pattern_panel

    console().print(pattern_panel(found))


@click.group()
def memory() -> None:
    """Search, check, export and import what the cluster has learned."""


@memory.command("search")
@click.argument("text")
@click.option("--limit", "-n", default=10, show_default=True, type=click.IntRange(1, 200))
@click.option("--kind", type=click.Choice(["error", "learning", "pattern", "task", "result"]))
@json_option
@click.pass_context
def search_memory(ctx: click.Context, text: str, limit: int, kind: Any, as_json: bool) -> None:
    """Search memories by words and by meaning."""
    rows = view(ctx, "memories", text=text, limit=limit, kind=kind or "")
    if as_json:
        print_json(rows)
        return
    for row in rows:
        # What is stored may come from anywhere; nothing of it may steer the terminal.
        content = "".join(one if one.isprintable() else " " for one in str(row["content"]))
        content = " ".join(content.split())
        click.echo(f"{row['score']:.2f}  {row['kind']:8} L{row['layer']} {row['scope']}  {content[:140]}")
    if not rows:
        click.echo("nothing found")


@memory.command("audit")
@click.option("--repair", is_flag=True, help="Quarantine what was tampered with, drop damaged vectors.")
@json_option
@click.pass_context
def audit_memory(ctx: click.Context, repair: bool, as_json: bool) -> int:
    """Check every row of the memory file and the ledger's chain; exit code 1 when something is wrong."""
    from dataclasses import asdict

    from hal9.errors.learning import LedgerBroken
    from hal9.learning import Ledger
    from hal9.memory import audit

    days = home_of(ctx).settings().memory.retention_days
    with open_store(ctx) as store:
        report = audit(store, retention_days=float(days), repair=repair)
        ledger, sound = "", report.sound
        try:
            ledger = f"{Ledger(store).verify()} entries, chain intact"
        except LedgerBroken as error:
            ledger, sound = str(error), False
    if as_json:
        print_json({**asdict(report), "sound": sound, "ledger": ledger})
    else:
        click.echo(f"file         {report.integrity}")
        click.echo(f"ledger       {ledger}")
        click.echo(f"memories     {report.memories or 0}, {report.quarantined} quarantined")
        click.echo(f"rules        {report.rules or 0}")
        click.echo(f"patterns     {report.patterns}")
        click.echo(
            f"junk rate    {report.junk_rate:.1%}  {({k: v for k, v in report.junk.items() if v}) or ''}"
        )
        click.echo(f"no vector    {report.stale_vectors}")
        for name in report.tampered:
            click.echo(f"tampered     {name}")
    return 0 if sound else 1


@memory.command("export")
@click.argument("file", type=OutputFile())
@click.option("--name", default="", help="Name of the pack (default: the file's).")
@json_option
@click.pass_context
def export_memory(ctx: click.Context, file: Path, name: str, as_json: bool) -> None:
    """Write what was learned: FILE.yaml is a pack of rules to share, FILE.json everything, signed."""
    from hal9.learning import PromptStore, export_archive, home_key
    from hal9.memory import export_pack
    from hal9.neurons import load_neurons

    home = home_of(ctx)
    with open_store(ctx) as store:
        if file.suffix == ".json":
            key = home_key(home.state / "learning.key", create=True)
            if key is None:
                raise click.ClickException("the home's signing key cannot be made")
            neurons = load_neurons(home.neurons, enabled=home.settings().neurons.enabled)
            prompts = PromptStore(store, {one.name: one.promptgram for one in neurons.values()})
            text = export_archive(store, prompts, key)
        elif file.suffix in (".yaml", ".yml"):
            text = export_pack(store, name=name or file.stem, origin=home.root.name)
        else:
            raise click.BadParameter(
                "end the name with .yaml (a pack) or .json (everything)", param_hint="FILE"
            )
    file.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"file": str(file), "bytes": len(text.encode())})
    else:
        click.echo(f"{file}: {len(text.encode())} bytes")


@memory.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--workspace", type=click.Path(path_type=Path), help="Let a pack into this workspace only.")
@click.option(
    "--key", type=click.Path(path_type=Path, exists=True), help="Key of the home that made the archive."
)
@json_option
@click.pass_context
def import_memory(
    ctx: click.Context, file: Path, workspace: Path | None, key: Path | None, as_json: bool
) -> int:
    """Take in a pack or an archive. Nothing in it is trusted: all of it becomes candidates."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{file} is not UTF-8 text", param_hint="FILE") from error
    body: dict[str, Any] = {"text": text, "file": file.name}
    if workspace is not None:
        body["workspace"] = str(workspace.absolute())
    if key is not None:
        body["key"] = key.read_text(encoding="ascii").strip()
    return show_answer(run(ask_daemon(ctx, "import", body)), as_json=as_json)


@memory.command("forget")
@click.argument("memory_ids", nargs=-1, required=True, type=int)
@json_option
@click.pass_context
def forget_memories(ctx: click.Context, memory_ids: tuple[int, ...], as_json: bool) -> int:
    """Delete memories for good, by the numbers that `hal9 memory search` shows."""
    with open_store(ctx) as store:
        count = store.forget(memory_ids)
    if as_json:
        print_json({"forgotten": count})
    elif count:
        click.echo(f"{count} of {len(memory_ids)} memories are deleted")
    else:
        click.echo("hal9: no memory has such a number; `hal9 memory search TEXT` shows them", err=True)
    return 0 if count else 1


@memory.command("consolidate")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@json_option
@click.pass_context
def consolidate_memory(ctx: click.Context, dry_run: bool, as_json: bool) -> int:
    """Consolidate: merge duplicates, distil patterns, quarantine what harms, forget what nobody needs."""
    return show_answer(run(ask_daemon(ctx, "sleep", {"dry_run": dry_run})), as_json=as_json)


_former = copy(consolidate_memory)
_former.hidden = True
memory.add_command(_former, "sleep")


@click.group()
def setup() -> None:
    """Fetch what learning works better with."""


@setup.command("embedder")
@json_option
def setup_embedder(as_json: bool) -> None:
    """Fetch the embedder's weights (23 MB, checked by SHA-256) into the user's cache."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from hal9.memory import fetch_weights

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        progress.add_task("fetching the embedder's weights", total=None)
        files = fetch_weights()
    if as_json:
        print_json([str(path) for path in files])
    else:
        for path in files:
            click.echo(str(path))
