"""`ripmap explain`, `ripmap index` and `ripmap serve`."""

from pathlib import Path
from typing import Any

import click

from hal9.ripmap.cli.common import (
    chosen_of,
    index_options,
    map_service_of,
    parameters_of,
    print_stats,
    task_options,
)
from hal9.ripmap.rendering.explain import explain_text

__all__ = ["cache_command", "explain_command", "index_command", "serve_command"]


@click.command("explain")
@click.argument("target")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--root", type=click.Path(path_type=Path), help="The repository, as PATH. [.]")
@task_options
@index_options
def explain_command(target: str, path: Path | None, root: Path | None, **options: Any) -> None:
    """Tell why TARGET, a file or a symbol of the repository at PATH, ranks where it does for a task."""
    if path is not None and root is not None:
        raise click.UsageError("name the repository once: as PATH or with --root")
    chosen = chosen_of(options)
    maps = map_service_of()
    index = maps.index(path or root or Path(), **chosen.index)
    ranking = maps.ranking(index, chosen.question(parameters_of(options, index.settings, index)))
    click.echo(explain_text(index, ranking, target))


@click.command("index")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@index_options
@click.option("--watch", is_flag=True, help="Stay, keep the index warm, and answer `ripmap` quickly.")
def index_command(path: Path, watch: bool, **options: Any) -> None:
    """Build or refresh the index of PATH."""
    chosen = chosen_of(options)
    maps = map_service_of()
    index = maps.index(path, **chosen.index)
    from hal9.ripmap.ranking.ranker import rank  # noqa: PLC0415 - brings numpy

    rank(index, "")
    print_stats(index)
    if watch:
        from hal9.ripmap.cli.watch import watch_tree  # noqa: PLC0415 - needs the ripmap extra

        watch_tree(index.root, maps, say=lambda text: click.echo(f"ripmap: {text}", err=True))


@click.command("serve")
@click.option(
    "--root", "roots", type=click.Path(path_type=Path), multiple=True, help="A root that may be read. [.]"
)
@index_options
def serve_command(roots: tuple[Path, ...], **options: Any) -> None:
    """Serve maps to agents over MCP (standard input and output)."""
    from hal9.ripmap.serving.mcp_server import serve  # noqa: PLC0415 - needs the mcp extra

    serve([root.absolute() for root in roots] or [Path.cwd()], chosen_of(options).index)


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove everything.")
@click.option(
    "--trim", type=click.IntRange(min=1), metavar="MB", help="Remove until so many megabytes are left."
)
@click.option("--cache-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the cache is.")
def cache_command(clear: bool, trim: int | None, cache_dir: Path | None) -> None:
    """Show what the cache holds, the least recently used tree first; or make it smaller."""
    from datetime import UTC, datetime  # noqa: PLC0415 - only this command tells dates

    from hal9.ripmap.index.cache_size import (  # noqa: PLC0415
        cached_trees,
        clear_cache,
        total_bytes,
        trim_cache,
    )
    from hal9.ripmap.settings import IndexSettings  # noqa: PLC0415
    from hal9.ripmap.text.display import shown  # noqa: PLC0415

    if clear and trim is not None:
        raise click.UsageError("--clear and --trim exclude each other")
    settings = IndexSettings(cache_dir=cache_dir)
    folder = settings.folder
    if clear or trim is not None:
        freed = clear_cache(folder) if clear else trim_cache(folder, (trim or 0) * 1_000_000)
        click.echo(f"{freed / 1e6:.1f} MB freed")
    for tree in cached_trees(folder):
        day = datetime.fromtimestamp(tree.used, UTC).date().isoformat()
        click.echo(
            f"{tree.size / 1e6:8.1f} MB  {day}  {shown(tree.root) or f'(unknown root) {tree.folder.name}'}"
        )
    most = settings.cache_bytes / 1e6
    click.echo(f"{total_bytes(folder) / 1e6:8.1f} MB of {most:.0f} in {shown(str(folder))}")
