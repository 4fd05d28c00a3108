"""Imports that name a package rather than a file, by each ecosystem's rule; and tests beside what they test.

Read from the paths alone: where manifests lie, which folders hold sources, and what the imports have in
common tells which part of a name is the repository itself.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from hal9.ripmap.postings.module_paths import ModuleMap, Names
from hal9.ripmap.records import Import, Role

__all__ = ["PackageLinks"]

_PACKAGE = 0.5
"""An import of a whole package names none of its files in particular."""
_NEIGHBOUR = 0.3
_MOST_FILES = 40
_MOST_TWINS = 3
_LEAST_SHARE = 0.2
_SCRIPTS = frozenset({"ts", "tsx", "js", "jsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"})
_TEST_WORDS = re.compile(
    r"^(?:tests?|spec)[_.-]|[_.-](?:tests?|spec|unittest)$"
    r"|(?<=[a-z0-9])(?:Tests?|Spec|TestCase|Fixture|IT)$|^Test(?=[A-Z])"
)
_PLAIN = re.compile(r"[^a-z0-9]+")


class PackageLinks:
    """Finds the files of packages; complements `ModuleMap`, which knows modules that are files."""

    def __init__(self, files: Names, modules: ModuleMap, imports: Sequence[Sequence[Import]]) -> None:
        self._paths = files.paths
        self._modules = modules
        self._roles = files.roles
        self._extensions = [path.rpartition(".")[2].lower() for path in files.paths]
        self._folders: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._entries: dict[str, list[int]] = defaultdict(list)
        for file_index, path in enumerate(files.paths):
            if self._is_source(file_index):
                self._folders[self._extensions[file_index], path.rpartition("/")[0]].append(file_index)
        self._by_tail: dict[tuple[str, str], list[str]] = defaultdict(list)
        for extension, folder in self._folders:
            parts = re.split(r"[/.]" if extension == "cs" else "/", folder)
            for start in range(len(parts)):
                self._by_tail[extension, ".".join(parts[start:])].append(folder)
        self._go_modules = self._common_prefixes(imports)
        self._manifests()
        self._readers: dict[str, Callable[[Import], dict[int, float]]] = {
            "go": self._go,
            "cs": self._csharp,
            "php": self._php,
            "rs": self._rust,
            **dict.fromkeys(_SCRIPTS, self._script),
        }

    def _is_source(self, file_index: int) -> bool:
        role = int(self._roles[file_index])
        return bool(role & Role.SOURCE) and not role & Role.TEST

    def alone(self, source: int) -> bool:
        """Whether imports of this file's language name packages only, never files."""
        return self._extensions[source] in {"go", "cs"}

    def targets(self, source: int, item: Import) -> dict[int, float]:
        """Files that an import reaches by a package's name, each with how directly."""
        reader = self._readers.get(self._extensions[source])
        found = reader(item) if reader is not None else {}
        found.pop(source, None)
        return found

    def _common_prefixes(self, imports: Sequence[Sequence[Import]]) -> list[str]:
        """What a Go module calls itself: the part before a folder's path in many imports."""
        votes: Counter[str] = Counter()
        for file_index, items in enumerate(imports):
            if self._extensions[file_index] != "go":
                continue
            for module in {item.module for item in items if "." in item.module.partition("/")[0]}:
                parts = module.split("/")
                for start in range(1, len(parts)):
                    if ("go", ".".join(parts[start:])) in self._by_tail:
                        votes["/".join(parts[:start])] += 1
                        break
        least = max(votes.values(), default=0) * _LEAST_SHARE
        return [prefix for prefix, count in votes.most_common() if count >= least]

    def _go(self, item: Import) -> dict[int, float]:
        for prefix in self._go_modules:
            if item.module == prefix:
                return self._whole("go", [""])
            if item.module.startswith(f"{prefix}/"):
                rest = item.module.removeprefix(f"{prefix}/").replace("/", ".")
                return self._whole("go", self._by_tail.get(("go", rest), []))
        return {}

    def _csharp(self, item: Import) -> dict[int, float]:
        parts = item.module.split(".")
        for start in range(len(parts)):
            folders = self._by_tail.get(("cs", ".".join(parts[start:])), [])
            if folders and (start == 0 or ("cs", parts[0]) in self._by_tail):
                return self._whole("cs", folders)
        return {}

    def _php(self, item: Import) -> dict[int, float]:
        """PSR-4 maps a leading part of the namespace to a folder: what is left is a path."""
        parts = [*filter(None, item.module.split("\\")), *item.names]
        for start in range(1, len(parts) - 1):
            found = self._modules.suffix(".".join(parts[start:]))
            if found:
                return dict.fromkeys(found[:_MOST_TWINS], 1.0)
        return {}

    def _manifests(self) -> None:
        """Packages of a workspace by the name of their folder, each with the file that stands for it."""
        file_indexes = {path: file_index for file_index, path in enumerate(self._paths)}
        for path in self._paths:
            folder, _, name = path.rpartition("/")
            if name not in {"package.json", "Cargo.toml"} or not folder:
                continue
            stem = ("lib", "main") if name == "Cargo.toml" else ("index",)
            endings = ("rs",) if name == "Cargo.toml" else tuple(_SCRIPTS)
            tries = (
                f"{folder}/{middle}{base}.{end}"
                for middle in ("src/", "")
                for base in stem
                for end in endings
            )
            entry = next((file_indexes[one] for one in tries if one in file_indexes), None)
            if entry is not None:
                self._entries[folder.rpartition("/")[2].lower()].append(entry)

    def _script(self, item: Import) -> dict[int, float]:
        parts = [part for part in item.module.split("/") if part]
        if not parts or item.module.startswith("."):
            return {}
        scoped = parts[0].startswith(("@", "~", "#"))
        if scoped and len(parts) > 1:
            parts = parts[1:]
        rest = parts[1:]
        entries = self._entries.get(parts[0].lower(), [])
        if rest:
            for middle in ("src", ""):
                tail = ".".join(filter(None, (parts[0], middle, *rest)))
                found = self._modules.suffix(tail)
                if found:
                    return dict.fromkeys(found[:_MOST_TWINS], 1.0)
            return dict.fromkeys(self._modules.suffix(".".join(parts))[:_MOST_TWINS], 1.0) if scoped else {}
        return self._through(entries, item.names)

    def _rust(self, item: Import) -> dict[int, float]:
        parts = (item.module or (item.names[0] if item.names else "")).split("::")
        crate = parts[0].replace("-", "_").lower()
        entries = [
            entry
            for name, found in self._entries.items()
            if crate == name.replace("-", "_") or crate.endswith("_" + name.replace("-", "_"))
            for entry in found
        ]
        if len(parts) > 1 and entries:
            found = self._modules.suffix(f"src.{'.'.join(parts[1:])}")
            if found:
                return dict.fromkeys(found[:_MOST_TWINS], 1.0)
        return self._through(entries, item.names)

    def _through(self, entries: Sequence[int], names: Sequence[str]) -> dict[int, float]:
        """A package's entry, and the files from which it hands on the imported names."""
        found: dict[int, float] = {}
        for entry in entries[:_MOST_TWINS]:
            for name in names:
                origin = self._modules.origin(entry, name)
                if origin != entry:
                    found[origin] = 1.0
            found.setdefault(entry, _PACKAGE)
        return found

    def _whole(self, extension: str, folders: Iterable[str]) -> dict[int, float]:
        chosen = [
            file_index for folder in folders for file_index in self._folders.get((extension, folder), [])
        ]
        return dict.fromkeys(chosen, _PACKAGE) if len(chosen) <= _MOST_FILES else {}

    def beside_tests(self) -> dict[int, dict[int, float]]:
        """What each test lies beside: the file it is named after, and in Go its whole package."""
        twins: dict[str, list[int]] = defaultdict(list)
        for file_index in range(len(self._paths)):
            if self._is_source(file_index):
                twins[_bare(self._stem(file_index))].append(file_index)
        found: dict[int, dict[int, float]] = {}
        for file_index in range(len(self._paths)):
            role = int(self._roles[file_index])
            if not (role & Role.TEST and role & Role.SOURCE):
                continue
            own: dict[int, float] = {}
            folder = self._paths[file_index].rpartition("/")[0]
            if self._extensions[file_index] == "go":
                own = dict.fromkeys(self._folders.get(("go", folder), [])[:_MOST_FILES], _NEIGHBOUR)
            named = _bare(_TEST_WORDS.sub("", self._stem(file_index)))
            own |= dict.fromkeys(self._nearest(file_index, twins.get(named, [])), 1.0)
            if own:
                found[file_index] = own
        return found

    def _stem(self, file_index: int) -> str:
        name = self._paths[file_index].rpartition("/")[2]
        return name.rpartition(".")[0] or name

    def _nearest(self, file_index: int, found: Sequence[int]) -> list[int]:
        """Of files of one name those in the test's language that share most of its path; none if too many."""
        alike = [one for one in found if self._extensions[one] == self._extensions[file_index]]
        if len(alike) > 1:
            here = set(self._paths[file_index].lower().split("/"))
            shared = [len(here & set(self._paths[one].lower().split("/"))) for one in alike]
            alike = [one for one, count in zip(alike, shared, strict=True) if count == max(shared)]
        return alike if len(alike) <= _MOST_TWINS else []


def _bare(name: str) -> str:
    return _PLAIN.sub("", name.lower())
