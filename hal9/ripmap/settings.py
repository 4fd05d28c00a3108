"""How an index is made: what is walked, what is kept, where the cache lives."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hal9.errors.ripmap import RipmapConfigWrong

__all__ = ["IndexSettings", "default_cache_dir", "load_settings"]

_CONFIG_KEYS = frozenset({"extensions", "include", "exclude", "subtree", "use_gitignore", "use_git",
                          "history_limit", "max_file_bytes", "preset", "tokens",
                          "cache_megabytes"})  # fmt: skip


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
        cache_megabytes: what the cache may hold; the trees least recently used go first.
            `RIPMAP_CACHE_MEGABYTES` overrides it.
        preset: name of the ranking preset the repository asks for ("" none).
        tokens: the map's budget the repository asks for (0 none).
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
    cache_megabytes: int = 1000
    preset: str = ""
    tokens: int = 0

    @property
    def folder(self) -> Path:
        """Where the cache lives."""
        return self.cache_dir if self.cache_dir is not None else default_cache_dir()

    @property
    def cache_bytes(self) -> int:
        """The cap of the cache in bytes.

        Raises:
            RipmapConfigWrong: RIPMAP_CACHE_MEGABYTES is no whole number above 0.
        """
        import os  # noqa: PLC0415 - as above

        override = os.environ.get("RIPMAP_CACHE_MEGABYTES", "")
        if override and not (override.isascii() and override.isdigit() and int(override)):
            detail = f"it must be a whole number of megabytes above 0, not {override!r}"
            raise RipmapConfigWrong(path="RIPMAP_CACHE_MEGABYTES", detail=detail)
        return int(override or self.cache_megabytes) * 1_000_000

    def selection(self) -> tuple[object, ...]:
        """The settings that decide which files an index holds and how far they are read."""
        return (
            self.extensions, self.include, self.exclude, self.subtree, self.use_gitignore, self.max_file_bytes
        )  # fmt: skip


def load_settings(root: Path, settings: IndexSettings | None = None, **overrides: Any) -> IndexSettings:
    """Settings of `ripmap.toml`, or of `[tool.ripmap]` in `pyproject.toml`, with `overrides` on top.

    Raises:
        RipmapConfigWrong: the file is no TOML, or has an unknown key or a wrong value.
    """
    base = settings or IndexSettings()
    for name in ("ripmap.toml", "pyproject.toml"):
        path = root / name
        try:
            raw = path.read_bytes()
        except OSError:
            continue
        if name == "pyproject.toml" and b"tool.ripmap" not in raw:
            continue
        base = replace(base, **_read(path, raw, nested=name == "pyproject.toml"))
        break
    return replace(base, **overrides)


def _read(path: Path, raw: bytes, *, nested: bool) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most repositories have no settings for ripmap

    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RipmapConfigWrong(path=str(path), detail=str(error)) from error
    if nested:
        table = table.get("tool", {}).get("ripmap", {})
    values: dict[str, Any] = {}
    known = {entry.name: entry for entry in fields(IndexSettings) if entry.name in _CONFIG_KEYS}
    for key, value in table.items():
        if key not in known:
            detail = f"unknown key {key!r}; known: {', '.join(sorted(known))}"
            raise RipmapConfigWrong(path=str(path), detail=detail)
        default = known[key].default
        if isinstance(default, tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise RipmapConfigWrong(
                    path=str(path), detail=f"{key} must be a list of strings, not {value!r}"
                )
            values[key] = tuple(value)
        elif type(value) is not type(default) or (isinstance(value, int) and value < 0):
            raise RipmapConfigWrong(
                path=str(path),
                detail=f"{key} must be {type(default).__name__} and not negative, not {value!r}",
            )
        else:
            values[key] = value
    return values
