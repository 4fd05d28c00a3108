"""Which file an import, a module name or a path in a text means.

Names are matched by suffix: `b.c` means any file whose path, without extension and with dots for slashes,
ends in
`b.c`. That serves Python packages, JavaScript paths, Java and Kotlin packages, Rust crates, and C includes
alike, wherever the source root lies.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from hal9.ripmap.records import Import, Role

__all__ = ["ModuleMap", "Names", "PathFinder", "is_package_file", "module_name"]


class Names(NamedTuple):
    """The files' paths and role bits, in the index's order."""

    paths: Sequence[str]
    roles: Any


_SEPARATORS = re.compile(r"[./:\\]+")
_PACKAGE_FILES = frozenset({"__init__", "index", "mod", "lib", "main", "package-info"})
_MOST_TARGETS = 8
"""A module name that fits more files than this tells nothing."""
_REEXPORT_HOPS = 3


def is_package_file(path: str) -> bool:
    """Whether a file stands for the folder it is in."""
    folder, _, name = path.rpartition("/")
    return bool(folder) and name.split(".")[0] in _PACKAGE_FILES


def module_name(path: str) -> str:
    """Dotted name of a file; a package file is named like its folder."""
    folder, _, name = path.rpartition("/")
    base = name.split(".")[0] if not name.startswith(".") else name
    if base in _PACKAGE_FILES and folder:
        return folder.replace("/", ".")
    return f"{folder}/{base}".strip("/").replace("/", ".")


class PathFinder:
    """Finds files by module name and by path, by looking through all of them: right for a few questions."""

    def __init__(self, files: Names) -> None:
        self._files = files

    @cached_property
    def _paths(self) -> tuple[str, list[int]]:
        """All paths in lower case, each between slash and line end, and where each begins."""
        return _joined("/", (path.lower() for path in self._files.paths))

    @cached_property
    def _modules(self) -> tuple[str, list[int], list[int]]:
        """The same for module names of source files, with the `file_index` of each."""
        own = [
            file_index for file_index, roles in enumerate(self._files.roles.tolist()) if roles & Role.SOURCE
        ]
        return *_joined(".", (module_name(self._files.paths[file_index]) for file_index in own)), own

    def module(self, name: str) -> list[int]:
        """Files that a dotted module name can mean, at most eight; empty when none or too many."""
        text, starts, own = self._modules
        found = [own[line] for line in _ending(text, starts, f".{name}\n", _MOST_TARGETS + 1)]
        return found if len(found) <= _MOST_TARGETS else []

    def tail(self, path: str) -> list[int]:
        """Files whose path ends in these segments (case ignored)."""
        wanted = path.lower().strip("/")
        return _ending(*self._paths, f"/{wanted}\n") if wanted else []

    def folder(self, path: str) -> list[int]:
        """Files directly in folders whose path ends in these segments."""
        wanted = path.lower().strip("/")
        text, starts = self._paths
        pattern = re.compile(f"/{re.escape(wanted)}/[^/\n]*\n")
        return [bisect_right(starts, match.start()) - 1 for match in pattern.finditer(text)] if wanted else []

    def longest_tail(self, path: str) -> list[int]:
        """Files that share the longest path tail with a path from another machine."""
        segments = path.lower().strip("/").split("/")
        for start in range(len(segments)):
            found = self.tail("/".join(segments[start:]))
            if found:
                return found if len(found) <= _MOST_TARGETS else []
        return []


def _joined(mark: str, names: Iterable[str]) -> tuple[str, list[int]]:
    listed = [f"{mark}{name}\n" for name in names]
    return "".join(listed), [0, *accumulate(map(len, listed))]


def _ending(text: str, starts: list[int], wanted: str, most: int | None = None) -> list[int]:
    """Lines that end in `wanted`, at most `most` of them."""
    found: list[int] = []
    offset = text.find(wanted)
    while offset >= 0 and (most is None or len(found) < most):
        found.append(bisect_right(starts, offset) - 1)
        offset = text.find(wanted, offset + len(wanted) - 1)
    return found


class ModuleMap:
    """Finds the files that imports reach."""

    def __init__(self, files: Names, imports: Sequence[Sequence[Import]]) -> None:
        self.paths = files.paths
        self.imports = imports
        self.names = [module_name(path) for path in files.paths]
        self._suffixes: defaultdict[str, list[int]] = defaultdict(list)
        for file_index, name in enumerate(self.names):
            parts = name.split(".")
            if files.roles[file_index] & Role.SOURCE:
                for start in range(len(parts)):
                    self._suffixes[".".join(parts[start:])].append(file_index)
        self._exports: dict[int, dict[str, Import]] = {}

    def targets(self, source: int, item: Import) -> dict[int, float]:
        """Files that an import reaches.

        Returns:
            File to how directly: 1 where it defines or is the named thing, 0.5 for a package it came through.
        """
        base = self._base(source, item)
        if base is None:
            return {}
        found: dict[int, float] = {}
        for name in item.names:
            dotted = f"{base}.{name}" if base else name
            direct = self._near(source, dotted)
            for target in direct:
                found[target] = 1.0
            if not direct:
                for module in self._near(source, base):
                    origin = self._follow(module, name, _REEXPORT_HOPS)
                    found[origin] = 1.0
                    found.setdefault(module, 0.5)
        if not item.names:
            for target in self._near(source, base):
                found[target] = 1.0
            if not found and "." in base:
                for target in self._near(source, base.rpartition(".")[0]):
                    found[target] = 1.0
        found.pop(source, None)
        return found

    def suffix(self, name: str) -> list[int]:
        """Source files whose module name ends in `name`; empty when there are too many to mean one."""
        found = self._suffixes.get(name, [])
        return list(found) if len(found) <= _MOST_TARGETS else []

    def origin(self, module: int, name: str) -> int:
        """The file from which a module hands on a name; the module itself when it does not."""
        return self._follow(module, name, _REEXPORT_HOPS)

    def _base(self, source: int, item: Import) -> str | None:
        if item.level:
            folder = self.paths[source].split("/")[:-1]
            if item.level - 1 > len(folder):
                return None
            kept = folder[: len(folder) - (item.level - 1)]
            return ".".join([*kept, *([item.module] if item.module else [])])
        module = item.module
        if module.startswith("."):
            return self._relative_path(source, module)
        if module == "crate":
            return self._crate_root(source)
        module = module.removeprefix("crate::").removeprefix("self::").removeprefix("super::")
        if "/" in module or "\\" in module:
            head, _, last = module.rpartition("/")
            module = f"{head}/{last.split('.')[0]}" if head else last
        elif module.endswith((".h", ".hpp", ".hh")):
            module = module.rpartition(".")[0]
        return ".".join(part for part in _SEPARATORS.split(module) if part) or None

    def _relative_path(self, source: int, module: str) -> str:
        folder = self.paths[source].split("/")[:-1]
        for part in module.split("/"):
            if part == "..":
                folder = folder[:-1]
            elif part not in ("", "."):
                folder = [*folder, re.sub(r"\.(?:m?[jt]sx?|c[jt]s)$", "", part)]
        # `./core/index.js` means the folder, which is what its package file is called.
        return ".".join(folder[:-1] if len(folder) > 1 and folder[-1] in _PACKAGE_FILES else folder)

    def _crate_root(self, source: int) -> str | None:
        """The module of a Rust crate's `lib.rs` or `main.rs`: what `use crate::Name` speaks of."""
        folder = self.paths[source].split("/")[:-1]
        if "src" not in folder:
            return None
        return ".".join(folder[: len(folder) - folder[::-1].index("src")])

    def _near(self, source: int, name: str) -> list[int]:
        """Candidates for a module name; of several, those nearest to the importer."""
        found = self._suffixes.get(name, [])
        if len(found) <= 1:
            return list(found)
        here = self.names[source].split(".")
        shared = [_common_prefix(here, self.names[target].split(".")) for target in found]
        best = max(shared)
        nearest = [target for target, length in zip(found, shared, strict=True) if length == best]
        shortest = min(len(self.names[target]) for target in nearest)
        nearest = [target for target in nearest if len(self.names[target]) == shortest] or nearest
        return nearest if len(nearest) <= _MOST_TARGETS else []

    def _follow(self, module: int, name: str, hops: int) -> int:
        """The file that a re-exported name comes from."""
        exports = self._exports.get(module)
        if exports is None:
            exports = {given: item for item in self.imports[module] for given in item.names}
            self._exports[module] = exports
        item = exports.get(name)
        if item is None or hops == 0:
            return module
        base = self._base(module, item)
        if base is None:
            return module
        submodule = self._near(module, f"{base}.{name}")
        if submodule:
            return submodule[0]
        targets = [target for target in self._near(module, base) if target != module]
        return self._follow(targets[0], name, hops - 1) if targets else module


def _common_prefix(left: list[str], right: list[str]) -> int:
    shared = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        shared += 1
    return shared
