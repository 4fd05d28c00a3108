"""Languages whose projects are laid out alike, by a file's ending: a role's worth is learned by group."""

__all__ = ["LANGUAGE_GROUPS", "language_group"]

_ENDINGS: dict[str, tuple[str, ...]] = {
    "python": ("py", "pyi", "pyw", "pyx"),
    "javascript": ("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "vue", "svelte"),
    "go": ("go",),
    "rust": ("rs",),
    "java": ("java", "kt", "kts", "scala", "groovy"),
    "csharp": ("cs", "fs", "vb"),
    "php": ("php",),
    "ruby": ("rb",),
    "cpp": ("c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx"),
    "other": (),
}
LANGUAGE_GROUPS = tuple(_ENDINGS)
_OTHER = len(LANGUAGE_GROUPS) - 1
_GROUP = {ending: number for number, name in enumerate(LANGUAGE_GROUPS) for ending in _ENDINGS[name]}


def language_group(path: str) -> int:
    """The number of a file's group in `LANGUAGE_GROUPS`."""
    return _GROUP.get(path.rpartition(".")[2].lower(), _OTHER)
