"""How an index is made: what is walked, what is kept, where the cache lives."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["IndexSettings", "default_cache_dir"]


def default_cache_dir() -> Path:
    """The user's cache directory for ripmap (`RIPMAP_CACHE_DIR` overrides it)."""
    import os  # noqa: PLC0415 - platformdirs costs more than a warm query wants to pay

    override = os.environ.get("RIPMAP_CACHE_DIR")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415

    return user_cache_path("ripmap", appauthor=False)


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Everything that changes what an index holds.

    Attributes:
        extensions: keep only files with these extensions (without dots); empty keeps all.
        include: keep only paths that match one of these gitignore-style patterns; empty keeps all.
        exclude: drop paths that match one of these gitignore-style patterns.
        subtree: a folder below the root that alone is indexed ("" is the whole tree).
        use_gitignore: honour .gitignore, .ignore, .ripmapignore and .git/info/exclude.
        use_cache: keep extraction results and snapshots on disk.
        cache_dir: where; None is the user's cache directory.
        use_git: read the history.
        history_limit: how many ancestor commits are read, newest first.
        max_file_bytes: larger files are listed but not read.
        workers: processes for cold extraction; 0 is one per core.
    """

    extensions: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    subtree: str = ""
    use_gitignore: bool = True
    use_cache: bool = True
    cache_dir: Path | None = None
    use_git: bool = True
    history_limit: int = 20_000
    max_file_bytes: int = 10_000_000
    workers: int = 0
