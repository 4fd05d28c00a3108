"""What the commands share: options, the question they make, notices and statistics."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hal9.ripmap.rendering.repository_map import MapRequest, MapService
from hal9.ripmap.settings import IndexSettings

if TYPE_CHECKING:
    from hal9.ripmap.index.index import Index
    from hal9.ripmap.parameters import Parameters

__all__ = [
    "Chosen",
    "chosen_of",
    "index_options",
    "map_service_of",
    "parameters_of",
    "print_stats",
    "task_options",
    "use_map_service",
]

_F = TypeVar("_F", bound=Callable[..., Any])


def task_options(command: _F) -> _F:
    """Options that say what is asked."""
    for option in reversed(
        (
            click.option("--task", help="The task, an issue's text, or `-` for standard input."),
            click.option(
                "--task-file", type=click.Path(path_type=Path, dir_okay=False), help="Read the task here."
            ),
            click.option("--focus", help="Words whose matches, and what lies near them, should lead."),
            click.option("--chat", multiple=True, metavar="FILE", help="A file already in the conversation."),
            click.option("--mention", multiple=True, metavar="NAME", help="A name that matters."),
            click.option("--preset", help="A named parameter set."),
            click.option(
                "--params", type=click.Path(path_type=Path, dir_okay=False), help="JSON of parameters."
            ),
        )
    ):
        command = option(command)
    return command


def index_options(command: _F) -> _F:
    """Options that say what is indexed."""
    for option in reversed(
        (
            click.option("--ext", help="Only files with these extensions: py,rs."),
            click.option("--no-git", is_flag=True, help="Do not read the history."),
            click.option("--no-cache", is_flag=True, help="Neither read nor write the cache."),
            click.option(
                "--cache-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the cache is."
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Chosen:
    """The common options, read."""

    task: str = ""
    focus: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    index: dict[str, Any] = field(default_factory=dict)

    def question(self, parameters: "Parameters | None") -> MapRequest:
        """As the map service takes it."""
        return MapRequest(self.task, self.focus, self.chat, self.mentions, parameters)


def chosen_of(options: dict[str, Any]) -> Chosen:
    """Read the task from where it is, and settings from flags that were given."""
    if options.get("task") and options.get("task_file"):
        raise click.UsageError("--task and --task-file exclude each other")
    task = options.get("task") or ""
    if options.get("task_file"):
        try:
            task = options["task_file"].read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise click.UsageError(f"{options['task_file']}: {error.strerror}") from error
    elif task == "-":
        task = sys.stdin.read()
    overrides: dict[str, Any] = {}
    if options.get("ext"):
        overrides["extensions"] = tuple(
            sorted(part.strip().lstrip(".") for part in options["ext"].split(",") if part.strip())
        )
    if options.get("no_git"):
        overrides["use_git"] = False
    if options.get("no_cache"):
        overrides["use_cache"] = False
    if options.get("cache_dir"):
        overrides["cache_dir"] = options["cache_dir"].absolute()
    focus = tuple((options.get("focus") or "").replace(",", " ").split())
    return Chosen(
        task, focus, tuple(options.get("chat") or ()), tuple(options.get("mention") or ()), overrides
    )


_current: ContextVar[MapService | None] = ContextVar("ripmap_mapper", default=None)


@contextmanager
def use_map_service(maps: MapService) -> Iterator[None]:
    """Have commands run inside use this map service and what it keeps warm."""
    token = _current.set(maps)
    try:
        yield
    finally:
        _current.reset(token)


def map_service_of() -> MapService:
    """The map service in use, or a new one that tells its notices on standard error."""
    return _current.get() or MapService(notify=lambda text: click.echo(f"ripmap: {text}", err=True))


def parameters_of(
    options: dict[str, Any], settings: IndexSettings, index: "Index | None" = None
) -> "Parameters | None":
    """Parameters of --params, of --preset, or of the repository's preset; None for the defaults.

    A preset's heuristics look at `index`, and its warnings are told on standard error.

    Raises:
        ParameterInvalid: the file is no JSON object of known parameters.
    """
    from hal9.ripmap.parameters import Parameters  # noqa: PLC0415 - brings numpy

    if options.get("params"):
        import json  # noqa: PLC0415

        path: Path = options["params"]
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise click.UsageError(f"{path}: {error}") from error
        if isinstance(values, dict) and isinstance(values.get("parameters"), dict):
            values = values["parameters"]
        if not isinstance(values, dict):
            raise click.UsageError(f"{path}: a JSON object of parameters is wanted")
        return Parameters(values)
    name = options.get("preset") or settings.preset
    if name:
        from hal9.ripmap.index.index_data import index_data_of  # noqa: PLC0415
        from hal9.ripmap.ranking.presets import features_of, load_preset  # noqa: PLC0415

        preset = load_preset(name, index.root if index is not None else None)
        chosen = (
            preset.parameters_for(features_of(index_data_of(index)))
            if index is not None
            else preset.parameters
        )
        for text in preset.warnings_for(chosen):
            click.echo(f"ripmap: {text}", err=True)
        return chosen
    return None


def print_stats(index: "Index") -> None:
    """What was read, in a few lines on standard error."""
    stats = index.stats
    lines = [
        (
            f"{stats.files} files: {stats.extracted} read now, {stats.reused} known, "
            f"{stats.skipped_binary} binary left out; {stats.seconds:.2f} s"
        ),
        "languages: " + ", ".join(f"{name or 'other'} {count}" for name, count in stats.languages.items()),
        "parsed: " + ", ".join(f"{name} {count}" for name, count in stats.statuses.items()),
    ]
    lost = _lost(index)
    if lost:
        lines.append(f"syntax that the grammars cannot read hides {lost} definitions")
    if slow := stats.statuses.get("overtime"):
        lines.append(f"{slow} files took more time than a file may take and are known in part")
    if stats.missing_grammars:
        lines.append(f"no grammar installed for: {', '.join(stats.missing_grammars)} (words only)")
    if index.history.fingerprint:
        lines.append(f"history: {len(index.history)} commits")
    if index.folder is not None:
        lines.append(f"cache: {index.folder}")
    for line in lines:
        click.echo(f"ripmap: {line}", err=True)


def _lost(index: "Index") -> int:
    """Definitions that were not found in files with syntax errors."""
    from hal9.ripmap.extraction.extractor import lost_definitions  # noqa: PLC0415 - only statistics count them

    return sum(
        lost_definitions(entry.language, index.text(entry.path).encode("utf-8", "replace"))
        for entry in index.entries
        if entry.status in {"partial", "overtime"}
    )
