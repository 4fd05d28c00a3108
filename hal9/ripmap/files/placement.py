"""What a file is for, by where it stands: the same folder name means documentation here and source there.

`docs/` at a project's root holds documentation and the scripts that make it; `flags/doc/` inside a crate
holds the code that writes it. A folder's name counts only where the folder stands outside of source code.
"""

from collections.abc import Mapping, Sequence

from hal9.ripmap.files.declared import declared_role, declared_roles
from hal9.ripmap.files.roles import is_test_name, path_roles
from hal9.ripmap.records import Role

__all__ = ["placed_roles"]

_WEAK: dict[str, Role] = {
    **dict.fromkeys(("doc", "docs", "documentation", "man", "wiki"), Role.DOCS),
    **dict.fromkeys(("example", "examples", "demo", "demos", "sample", "samples"), Role.EXAMPLE),
    **dict.fromkeys(("tutorial", "tutorials", "benchmark", "benchmarks"), Role.EXAMPLE),
    **dict.fromkeys(("testing", "spec", "specs", "e2e"), Role.TEST),
    "pods": Role.VENDORED,
}  # fmt: skip
"""Names of folders that are also names of things a program may deal with."""
_STRONG: dict[str, Role] = {
    **dict.fromkeys(("test", "tests", "__tests__", "testdata"), Role.TEST),
    **dict.fromkeys(("asv_bench",), Role.EXAMPLE),
}
_MANIFESTS = frozenset(
    {"package.json", "cargo.toml", "go.mod", "pyproject.toml", "setup.py", "setup.cfg", "pom.xml",
     "composer.json", "build.gradle", "build.gradle.kts", "gemfile", "cmakelists.txt", "podfile",
     "makefile", "meson.build"}
)  # fmt: skip
_SOURCE_FOLDERS = frozenset({"src", "lib", "libs", "crates", "internal", "pkg", "app", "source", "sources"})


def placed_roles(
    paths: Sequence[str],
    languages: Sequence[str],
    roles: Sequence[int],
    manifests: Mapping[str, str] | None = None,
) -> list[int]:
    """The files' roles after a look at their surroundings; the sequences and the result run in parallel.

    `manifests` are the texts of build and test configuration by path (`declared.declares`).
    """
    declared = _trusted(declared_roles(manifests or {}), paths, roles)
    touched = [
        file_index
        for file_index, path in enumerate(paths)
        if roles[file_index] & _GIVEN
        or _weak_part(path) >= 0
        or (declared and declared_role(declared, path) is not None)
    ]
    if not touched:
        return list(roles)
    projects = {path.rpartition("/")[0] for path in paths if _is_manifest(path)}
    packages = {
        path.rpartition("/")[0]
        for path, role in zip(paths, roles, strict=True)
        if role & Role.SOURCE and not role & (Role.CONFIG | Role.DEPLOY) and _weak_part(path) < 0
    }
    found = list(roles)
    for file_index in touched:
        if roles[file_index] & Role.SOURCE:
            path = paths[file_index]
            # Anew from the path: what was found among other neighbours says nothing now.
            own = int(path_roles(path, languages[file_index])) | (roles[file_index] & Role.GENERATED)
            found[file_index] = _declared(path, own, declared) or (
                _placed(path, own, projects, packages) if _weak_part(path) >= 0 else own
            )
    return found


_TESTS_AMONG = 0.3
_GIVEN = int(Role.TEST | Role.EXAMPLE)
"""What configuration may have given a file when it was looked at before; it is looked at again."""


def _trusted(declared: dict[str, Role], paths: Sequence[str], roles: Sequence[int]) -> dict[str, Role]:
    """Without folders of tests that hold hardly a file named like one: tests in source are run as well."""
    folders = [place for place, role in declared.items() if role is Role.TEST]
    kept: dict[str, Role] = {place: role for place, role in declared.items() if role is not Role.TEST}
    for place in folders:
        inside = [
            path.rpartition("/")[2]
            for path, role in zip(paths, roles, strict=True)
            if role & Role.SOURCE and (path == place or path.startswith(f"{place}/"))
        ]
        if inside and sum(map(is_test_name, inside)) >= _TESTS_AMONG * len(inside):
            kept[place] = Role.TEST
    return kept


def _declared(path: str, role: int, declared: Mapping[str, Role]) -> int:
    """The roles of one source file where a manifest speaks of it; 0 where none does, or says no news."""
    said = declared_role(declared, path)
    if said is None:
        return 0
    place, kind = said
    if kind is not Role.SOURCE:
        return role | int(kind)
    # The folder that is built is source whatever it is called; what lies below it is judged on its own.
    parts = place.lower().split("/")
    cleared = Role.NONE
    for part in parts:
        cleared |= _WEAK.get(part, Role.NONE)
    below = path[len(place) :].lower().split("/")[:-1]
    if not cleared or any(part in _STRONG or part in _WEAK for part in below) or _by_name(path, cleared):
        return 0
    return role & ~int(cleared)


def _is_manifest(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return name in _MANIFESTS or name.endswith(".gemspec")


def _weak_part(path: str) -> int:
    """Which of a path's folders is the first with an ambiguous name; -1 for none."""
    parts = path.lower().split("/")[:-1]
    return next((depth for depth, part in enumerate(parts) if part in _WEAK), -1)


def _placed(path: str, role: int, projects: set[str], packages: set[str]) -> int:
    """The roles of one source file, without those that only a folder within source code speaks for."""
    parts = path.split("/")[:-1]
    lower = [part.lower() for part in parts]
    spoken = Role.NONE
    for depth, part in enumerate(lower):
        if part in _STRONG:
            spoken |= _STRONG[part]
        elif part in _WEAK and not _within_source(parts, depth, projects, packages):
            spoken |= _WEAK[part]
    cleared = Role.NONE
    for part in lower:
        cleared |= _WEAK.get(part, Role.NONE)
    return role & ~int(cleared & ~spoken) if not _by_name(path, cleared) else role


def _within_source(parts: list[str], depth: int, projects: set[str], packages: set[str]) -> bool:
    """Whether the folder at `depth` lies inside source code rather than beside it."""
    parent = "/".join(parts[:depth])
    if not parent or parent in projects:
        return False
    if parent in packages:
        return True
    for end in range(depth, 0, -1):
        if "/".join(parts[:end]) in projects and parts[end - 1].lower() not in _SOURCE_FOLDERS:
            return any(part.lower() in _SOURCE_FOLDERS for part in parts[end:depth])
    return any(part.lower() in _SOURCE_FOLDERS for part in parts[:depth])


def _by_name(path: str, cleared: Role) -> bool:
    """Whether the file's own name says the same as the folder; then it keeps the role."""
    name = path.rpartition("/")[2]
    if cleared & Role.TEST and is_test_name(name):
        return True
    return bool(cleared & Role.EXAMPLE) and name.lower().startswith(("bench_", "bench-", "demo_", "example_"))
