"""Which language a file is in, and how its grammar is loaded."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser, Query

__all__ = ["LANGUAGES", "Language", "LoadedLanguage", "language_of", "load_language"]

DocStyle = Literal["string", "slash", "hash", "none"]


@dataclass(frozen=True, slots=True)
class Language:
    """One language: how its files are known, and where its grammar is.

    `grammar` is "module:function" of the wheel, "" when the language is known by name only.
    `docs` says where documentation stands: a string inside, or comments above (slash or hash style).
    """

    name: str
    extensions: tuple[str, ...]
    grammar: str = ""
    query: str = ""
    docs: DocStyle = "slash"
    filenames: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()


_CAPTURE = re.compile(r"@([a-z][a-z._]*)")
_PARSED = (
    Language(
        "python",
        ("py", "pyi", "pyw"),
        "tree_sitter_python:language",
        "python",
        "string",
        interpreters=("python", "python3", "python2"),
    ),
    Language(
        "javascript",
        ("js", "jsx", "mjs", "cjs"),
        "tree_sitter_javascript:language",
        "javascript+jsx",
        interpreters=("node",),
    ),
    Language(
        "typescript",
        ("ts", "mts", "cts"),
        "tree_sitter_typescript:language_typescript",
        "typescript",
        interpreters=("deno", "bun"),
    ),
    Language("tsx", ("tsx",), "tree_sitter_typescript:language_tsx", "typescript+jsx"),
    Language("rust", ("rs",), "tree_sitter_rust:language", "rust"),
    Language("go", ("go",), "tree_sitter_go:language", "go"),
    Language("java", ("java",), "tree_sitter_java:language", "java"),
    Language("c", ("c", "h"), "tree_sitter_c:language", "c"),
    Language(
        "cpp",
        ("cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "ipp", "inl", "cu", "cuh"),
        "tree_sitter_cpp:language",
        "cpp",
    ),
    Language(
        "ruby",
        ("rb", "rake", "gemspec", "ru"),
        "tree_sitter_ruby:language",
        "ruby",
        "hash",
        filenames=("Rakefile", "Gemfile", "Guardfile", "Vagrantfile"),
        interpreters=("ruby",),
    ),
    Language(
        "php", ("php", "php3", "phtml", "inc"), "tree_sitter_php:language_php", "php", interpreters=("php",)
    ),
    Language("csharp", ("cs", "csx"), "tree_sitter_c_sharp:language", "csharp"),
    Language("kotlin", ("kt", "kts"), "tree_sitter_kotlin:language", "kotlin"),
    Language("scala", ("scala", "sc", "sbt"), "tree_sitter_scala:language", "scala"),
    Language(
        "bash",
        ("sh", "bash", "zsh", "ksh", "bats"),
        "tree_sitter_bash:language",
        "bash",
        "hash",
        filenames=(".bashrc", ".zshrc", ".profile"),
        interpreters=("sh", "bash", "zsh", "ksh", "dash"),
    ),
)
_NAMED = (
    Language("markdown", ("md", "markdown", "mdx", "mkd"), docs="none"),
    Language("restructuredtext", ("rst",), docs="none"),
    Language("cython", ("pyx", "pxd", "pxi")),
    Language("swift", ("swift",)),
    Language("lua", ("lua",)),
    Language("perl", ("pl", "pm")),
    Language("r", ("r",)),
    Language("julia", ("jl",)),
    Language("haskell", ("hs", "lhs")),
    Language("ocaml", ("ml", "mli")),
    Language("elixir", ("ex", "exs")),
    Language("erlang", ("erl", "hrl")),
    Language("clojure", ("clj", "cljs", "cljc", "edn")),
    Language("dart", ("dart",)),
    Language("zig", ("zig",)),
    Language("objective-c", ("m", "mm")),
    Language("fortran", ("f", "f90", "f95", "f03", "for")),
    Language("sql", ("sql",)),
    Language("vue", ("vue",)),
    Language("svelte", ("svelte",)),
    Language("html", ("html", "htm", "xhtml", "jinja", "jinja2", "j2", "mako", "tmpl")),
    Language("css", ("css", "scss", "sass", "less")),
    Language("json", ("json", "jsonc", "json5", "ipynb"), docs="none"),
    Language("yaml", ("yaml", "yml"), docs="none"),
    Language("toml", ("toml",), docs="none"),
    Language("ini", ("ini", "cfg", "conf", "properties", "editorconfig", "env"), docs="none"),
    Language("xml", ("xml", "xsd", "xsl", "svg", "plist", "csproj"), docs="none"),
    Language("protobuf", ("proto",)),
    Language("graphql", ("graphql", "gql")),
    Language("terraform", ("tf", "tfvars", "hcl")),
    Language("dockerfile", ("dockerfile",), filenames=("Dockerfile", "Containerfile")),
    Language("make", ("mk", "mak"), filenames=("Makefile", "makefile", "GNUmakefile")),
    Language("cmake", ("cmake",), filenames=("CMakeLists.txt",)),
    Language("batch", ("bat", "cmd")),
    Language("powershell", ("ps1", "psm1")),
    Language("text", ("txt", "text", "log", "in", "csv", "tsv"), docs="none"),
)

LANGUAGES: dict[str, Language] = {language.name: language for language in (*_PARSED, *_NAMED)}
_BY_EXTENSION = {extension: language for language in LANGUAGES.values() for extension in language.extensions}
_BY_FILENAME = {filename: language for language in LANGUAGES.values() for filename in language.filenames}
_BY_INTERPRETER = {name: language for language in LANGUAGES.values() for name in language.interpreters}


def language_of(path: str, head: bytes = b"") -> str:
    """The language's name by file name or, failing that, the `#!` line of `head` ("" unknown)."""
    name = path.rpartition("/")[2]
    by_name = _BY_FILENAME.get(name)
    if by_name is not None:
        return by_name.name
    stem, dot, extension = name.rpartition(".")
    if dot and stem:
        known = _BY_EXTENSION.get(extension.lower())
        if known is not None:
            return "cpp" if known.name == "c" and extension == "h" and _looks_like_cpp(head) else known.name
    if head.startswith(b"#!"):
        words = head.split(b"\n", 1)[0][2:].decode("utf-8", "replace").split()
        for word in words:
            interpreter = word.rpartition("/")[2].rstrip("0123456789.")
            shebang = _BY_INTERPRETER.get(interpreter)
            if shebang is not None:
                return shebang.name
    return ""


def _looks_like_cpp(head: bytes) -> bool:
    return any(mark in head for mark in (b"\nclass ", b"\nnamespace ", b"template <", b"template<", b"std::"))


@dataclass(frozen=True, slots=True)
class LoadedLanguage:
    """A grammar ready to parse, with its query compiled; `kinds` names each pattern's leading capture."""

    language: Language
    grammar: "Grammar"
    parser: "Parser"
    query: "Query"
    kinds: tuple[str, ...]


@cache
def load_language(name: str) -> LoadedLanguage | None:
    """Load grammar and query; None when the language has no grammar or its wheel is not installed."""
    language = LANGUAGES.get(name)
    if language is None or not language.grammar:
        return None
    module, _, function = language.grammar.partition(":")
    try:
        tree_sitter = import_module("tree_sitter")
        pointer = getattr(import_module(module), function)()
    except ImportError:
        return None
    grammar = tree_sitter.Language(pointer)
    folder = files("hal9.ripmap.extraction").joinpath("queries")
    parts = [folder.joinpath(f"{part}.scm").read_text(encoding="utf-8") for part in language.query.split("+")]
    source = "\n".join(parts)
    query = tree_sitter.Query(grammar, source)
    kinds = tuple(
        _leading(source.encode()[query.start_byte_for_pattern(n) : query.end_byte_for_pattern(n)].decode())
        for n in range(query.pattern_count)
    )
    return LoadedLanguage(language, grammar, tree_sitter.Parser(grammar), query, kinds)


def _leading(pattern: str) -> str:
    """The capture that says what a pattern is for."""
    names = _CAPTURE.findall(pattern)
    for prefix in ("def.", "ref.", "scope", "var", "import", "string", "doc.file"):
        for name in names:
            if name == prefix or (prefix.endswith(".") and name.startswith(prefix)):
                return str(name)
    return ""
