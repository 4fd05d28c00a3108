"""What a file is for, from its path and first bytes."""

import re

from hal9.ripmap.records import Role

__all__ = ["is_generated", "is_minified", "is_test_name", "path_roles"]

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "e2e", "testdata"})
_TEST_NAME = re.compile(
    r"^(?:test_.*|.*_(?:tests?|spec|unittest)|.*[.-](?:test|spec|cy)|tests?|conftest|spec_helper"
    r"|.*(?:Test|Tests|TestCase|[a-z]IT))\.[a-z+]+$|^.*\.t$"
)
_VENDOR_FOLDERS = frozenset(
    {
        "node_modules",
        "vendor",
        "vendored",
        "_vendor",
        "third_party",
        "third-party",
        "thirdparty",
        "extern",
        "externals",
        "site-packages",
        "bower_components",
        "__pypackages__",
        ".venv",
        "venv",
        "pods",
    }
)
_DOCS_FOLDERS = frozenset({"doc", "docs", "documentation", "man", "wiki"})
_EXAMPLE_FOLDERS = frozenset(
    {
        "example",
        "examples",
        "demo",
        "demos",
        "sample",
        "samples",
        "tutorial",
        "tutorials",
        "benchmark",
        "benchmarks",
        "asv_bench",
    }
)
_DEPLOY_FOLDERS = frozenset(
    {
        ".github",
        ".gitlab",
        ".circleci",
        "deploy",
        "deployment",
        "k8s",
        "kubernetes",
        "helm",
        "charts",
        "terraform",
        "ansible",
        ".buildkite",
        "ci",
    }
)
_DEPLOY_NAMES = re.compile(
    r"^(?:dockerfile.*|containerfile|docker-compose.*|compose\.ya?ml|\.gitlab-ci\.yml|\.travis\.yml|jenkinsfile|procfile"
    r"|azure-pipelines\.yml|makefile|justfile|taskfile\.ya?ml|tox\.ini|noxfile\.py|.*\.tf|fly\.toml|render\.yaml"
    r"|vercel\.json|netlify\.toml|\.pre-commit-config\.yaml|appveyor\.yml|setup\.py|skaffold\.yaml)$"
)
_LOCK_NAMES = frozenset(
    {
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "poetry.lock",
        "pdm.lock",
        "uv.lock",
        "pipfile.lock",
        "cargo.lock",
        "gemfile.lock",
        "composer.lock",
        "go.sum",
        "bun.lockb",
        "bun.lock",
        "packages.lock.json",
        "npm-shrinkwrap.json",
        "gradle.lockfile",
        "flake.lock",
        "mix.lock",
        "podfile.lock",
        "deno.lock",
    }
)
_CONFIG_EXTENSIONS = frozenset(
    {"toml", "ini", "cfg", "conf", "yaml", "yml", "properties", "env", "editorconfig"}
)
_CONFIG_NAMES = re.compile(
    r"^(?:package\.json|tsconfig.*\.json|jsconfig\.json|composer\.json|go\.mod|gemfile|rakefile|pom\.xml|build\.gradle(?:\.kts)?"
    r"|settings\.gradle(?:\.kts)?|cmakelists\.txt|requirements.*\.txt|\.[a-z]+rc(?:\.[a-z]+)?|.*\.config\.[cm]?[jt]s|manifest\.in"
    r"|\.env.*|\.gitignore|\.dockerignore|biome\.json|deno\.json)$"
)
_DOCS_EXTENSIONS = frozenset({"md", "markdown", "rst", "adoc", "mdx", "txt"})
_DATA_EXTENSIONS = frozenset(
    {"csv", "tsv", "json", "jsonl", "xml", "svg", "ipynb", "po", "pot", "geojson", "log"}
)
_CODE_DATA = frozenset(
    {"markdown", "restructuredtext", "json", "yaml", "toml", "ini", "xml", "text", "html", "css", ""}
)
_GENERATED_NAME = re.compile(
    r"(?:[._-]min\.(?:js|css)|_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|cc|h)|\.g\.(?:dart|cs)|\.designer\.cs|\.bundle\.js"
    r"|\.generated\.[a-z]+|_generated\.[a-z]+|\.map)$",
    re.IGNORECASE,
)
_GENERATED_HEAD = re.compile(
    rb"@generated|DO NOT EDIT|do not edit (?:this file )?(?:by hand|manually)"
    rb"|[Aa]uto-?generated (?:by|file|from)|[Gg]enerated by the protocol buffer compiler"
    rb"|This file (?:is|was) (?:auto(?:matically)?[- ])?generated"
)
_CODE = re.compile(
    rb"^[ \t]*(?:import |from \S+ import |(?:export |public |async |static )*"
    rb"(?:class|def|func|fn|function|struct|const|let|var) "
    rb"|[A-Za-z_][\w.]*[ \t]*=[^=]|using |namespace |use )",
    re.MULTILINE,
)
"""Where a file's head, in which a program would sign, is over; a later mention speaks of something else."""
_HEAD_BYTES = 1024
_MINIFIED_LINE = 5000


def path_roles(path: str, language: str) -> Role:
    """Roles that the path alone tells."""
    folders, _, name = path.lower().rpartition("/")
    parts = set(folders.split("/")) if folders else set()
    extension = name.rpartition(".")[2] if "." in name else ""
    config = extension in _CONFIG_EXTENSIONS or bool(_CONFIG_NAMES.match(name))
    plays = {
        Role.ROOT: not folders,
        Role.VENDORED: not parts.isdisjoint(_VENDOR_FOLDERS),
        Role.TEST: _is_test(parts, path.rpartition("/")[2], language),
        Role.EXAMPLE: not parts.isdisjoint(_EXAMPLE_FOLDERS),
        Role.LOCK: name in _LOCK_NAMES,
        Role.DEPLOY: not parts.isdisjoint(_DEPLOY_FOLDERS) or bool(_DEPLOY_NAMES.match(name)),
        Role.CONFIG: config,
        Role.DOCS: not config and (not parts.isdisjoint(_DOCS_FOLDERS) or extension in _DOCS_EXTENSIONS),
        Role.GENERATED: bool(_GENERATED_NAME.search(name)),
        Role.DATA: extension in _DATA_EXTENSIONS and not config and name not in _LOCK_NAMES,
        Role.SOURCE: language not in _CODE_DATA,
    }
    roles = Role.NONE
    for role, played in plays.items():
        if played:
            roles |= role
    return roles


def _is_test(folders: set[str], name: str, language: str) -> bool:
    if not folders.isdisjoint(_TEST_FOLDERS) or any(part.startswith(("test_", "tests_")) for part in folders):
        return True
    return (language not in _CODE_DATA and is_test_name(name)) or (
        "t" in folders and language in {"perl", ""}
    )


def is_test_name(name: str) -> bool:
    """Whether a source file's own name says that it is a test."""
    return bool(_TEST_NAME.match(name))


def is_generated(source: bytes, language: str) -> bool:
    """Whether the contents say that a program wrote them (a mark near the top, or minified)."""
    if language in {"markdown", "restructuredtext", "text"}:
        return False
    code = _CODE.search(source, 0, _HEAD_BYTES)
    if _GENERATED_HEAD.search(source, 0, code.start() if code else _HEAD_BYTES):
        return True
    return language in {"javascript", "css", "json"} and is_minified(source)


def is_minified(source: bytes) -> bool:
    """Whether lines are far longer than a person writes."""
    first = source[: 4 * _MINIFIED_LINE]
    return len(first) > _MINIFIED_LINE and first.count(b"\n") * 1000 < len(first)
