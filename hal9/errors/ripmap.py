"""Errors of ripmap."""

from dataclasses import dataclass

from hal9.errors.base import RipmapError, install_hint

__all__ = [
    "BudgetTooSmall",
    "CacheUnusable",
    "CasesInvalid",
    "CasesUnwritable",
    "FileNotIndexed",
    "GitFailed",
    "GitMissing",
    "NotARepository",
    "OutsideRoots",
    "ParameterInvalid",
    "PresetInvalid",
    "RerankFailed",
    "RerankerMissing",
    "RipmapConfigWrong",
    "RipmapExtraMissing",
    "SymbolUnknown",
    "TokenizerUnusable",
    "WatchRefused",
]


@dataclass(eq=False, kw_only=True)
class NotARepository(RipmapError):
    """The path given cannot be mapped."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Give the folder of a repository or source tree."


@dataclass(eq=False, kw_only=True)
class RipmapConfigWrong(RipmapError):
    """ripmap.toml, or [tool.ripmap] in pyproject.toml, is wrong."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Correct the file; nothing was indexed."


@dataclass(eq=False, kw_only=True)
class TokenizerUnusable(RipmapError):
    """The tokenizer asked for cannot count."""

    name: str
    detail: str

    def message(self) -> str:
        return (
            f"The tokenizer {self.name!r} cannot be used: {self.detail}. Name 'estimate', 'tiktoken:o200k_base' "
            "(with tiktoken and its vocabulary on this machine) or the path of a tokenizer.json."
        )


@dataclass(eq=False, kw_only=True)
class BudgetTooSmall(RipmapError):
    """Not even one line of a map fits the budget."""

    tokens: int
    least: int

    def message(self) -> str:
        return f"A map needs at least {self.least} tokens; {self.tokens} were allowed. Raise --tokens."


@dataclass(eq=False, kw_only=True)
class RipmapExtraMissing(RipmapError):
    """A package that an optional part needs is not installed."""

    package: str
    extra: str

    def message(self) -> str:
        return f"The package {self.package} is not installed. Install it with: {install_hint(self.extra)}."


@dataclass(eq=False, kw_only=True)
class SymbolUnknown(RipmapError):
    """No file and no definition is called so."""

    name: str
    root: str
    near: tuple[str, ...]

    def message(self) -> str:
        hint = f" Near: {', '.join(self.near)}." if self.near else ""
        return f"{self.root} has no file and no definition called {self.name!r}.{hint}"


@dataclass(eq=False, kw_only=True)
class OutsideRoots(RipmapError):
    """A path was asked for that the server may not read."""

    path: str
    roots: tuple[str, ...]

    def message(self) -> str:
        return f"{self.path} is outside the allowed roots: {', '.join(self.roots)}. Start the server with that root."


@dataclass(eq=False, kw_only=True)
class WatchRefused(RipmapError):
    """A tree cannot be kept warm."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path} cannot be watched: {self.detail}."


@dataclass(eq=False, kw_only=True)
class CacheUnusable(RipmapError):
    """The cache folder cannot be created, opened or locked."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"The cache folder {self.path} cannot be used: {self.detail}. Set RIPMAP_CACHE_DIR to a folder you "
            "can write, or use --no-cache."
        )


@dataclass(eq=False, kw_only=True)
class FileNotIndexed(RipmapError):
    """A file was asked for that the index does not hold."""

    path: str
    root: str

    def message(self) -> str:
        return (
            f"{self.path!r} is not in the index of {self.root}: it may be missing, ignored, or of an excluded "
            "extension. Paths are relative to that folder."
        )


@dataclass(eq=False, kw_only=True)
class GitFailed(RipmapError):
    """A git command did not succeed."""

    root: str
    command: str
    detail: str

    def message(self) -> str:
        return f"git {self.command} failed in {self.root}: {self.detail}. Use --no-git to go without history."


@dataclass(eq=False, kw_only=True)
class GitMissing(GitFailed):
    """There is no git to ask."""

    command: str = ""
    detail: str = "there is no git on PATH"

    def message(self) -> str:
        return f"{self.root} has a history that cannot be read: {self.detail}. Use --no-git to go without."


@dataclass(eq=False, kw_only=True)
class ParameterInvalid(RipmapError):
    """A ranking parameter has an unknown name or an impossible value."""

    name: str
    detail: str
    nearest: str = ""

    def message(self) -> str:
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return f"Ranking parameter {self.name!r}: {self.detail}.{hint} The parameters are listed in docs/ripmap-ranking.md."


@dataclass(eq=False, kw_only=True)
class CasesInvalid(RipmapError):
    """Ranking cases cannot be used."""

    path: str
    detail: str

    def message(self) -> str:
        return f"Ranking cases {self.path}: {self.detail}. Make cases with `ripmap cases`, or check the file and its tree."


@dataclass(eq=False, kw_only=True)
class CasesUnwritable(RipmapError):
    """Ranking cases were made and cannot be stored."""

    path: str
    detail: str

    def message(self) -> str:
        return f"The cases cannot be written to {self.path}: {self.detail}. Name another file with --output."


@dataclass(eq=False, kw_only=True)
class PresetInvalid(RipmapError):
    """A ranking preset is missing or wrong."""

    name: str
    detail: str

    def message(self) -> str:
        return f"Preset {self.name}: {self.detail}. A preset is a JSON file; docs/ripmap-ranking.md shows its form."


@dataclass(eq=False, kw_only=True)
class RerankFailed(RipmapError):
    """A language model's answer named none of the files it was shown."""

    answer: str
    files: int

    def message(self) -> str:
        return f"The model answered {self.answer!r}, which names none of {self.files} files. Rank without --rerank."


@dataclass(eq=False, kw_only=True)
class RerankerMissing(RipmapError):
    """Nothing that is installed offers to look again at a ranking under this name."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        known = ", ".join(self.known) or "none; reinstall hal9 so that its entry points are registered"
        return f"Nothing reranks by {self.name!r}. Installed: {known}."
