"""What build and test configuration says folders and files are for.

A project that names `checks/` its tests, `spec` a package or `a.rs` an example has said it; a folder's name
is then no longer a guess. Files that cannot be read as what they claim to be declare nothing.
"""

import configparser
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from hal9.ripmap.records import Role

__all__ = ["declared_role", "declared_roles", "declares"]

_NAMES = frozenset(
    {"pyproject.toml", "setup.cfg", "tox.ini", "pytest.ini", "cargo.toml", "composer.json", "pom.xml",
     "package.json"}
)  # fmt: skip
_TEST_PROJECT = re.compile(
    r"<IsTestProject>\s*true\s*<|Include=\"(?:Microsoft\.NET\.Test\.Sdk|xunit|NUnit|MSTest\.TestFramework)\"",
    re.IGNORECASE,
)
_POM = re.compile(r"<(sourceDirectory|testSourceDirectory)>\s*([^<${}]+?)\s*</")
Claim = tuple[str, Role]


def declares(path: str) -> bool:
    """Whether a file may say what others are for."""
    name = path.rpartition("/")[2].lower()
    return name in _NAMES or name.endswith((".csproj", ".fsproj", ".vbproj"))


def declared_roles(manifests: Mapping[str, str]) -> dict[str, Role]:
    """Folders and files (relative to the root) that the manifests name, and what for.

    Where two disagree about one place, source wins: it is built.
    """
    found: dict[str, Role] = {}
    for path, text in manifests.items():
        folder, _, name = path.rpartition("/")
        for place, role in _claims(name.lower(), text):
            whole = _joined(folder, place)
            if whole and (role is Role.SOURCE or whole not in found):
                found[whole] = role
    return found


def declared_role(declared: Mapping[str, Role], path: str) -> tuple[str, Role] | None:
    """The nearest declaration above a path, or of it: the place and what it is for."""
    place = path
    while place:
        role = declared.get(place)
        if role is not None:
            return place, role
        place = place.rpartition("/")[0]
    return None


def _joined(folder: str, place: str) -> str:
    """The place as seen from the root, "" where it is the root, lies outside, or is a pattern."""
    place = place.replace("\\", "/").strip()
    if place.startswith("/") or any(mark in place for mark in "*?[$"):
        return ""
    parts: list[str] = [part for part in folder.split("/") if part]
    for part in place.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    whole = "/".join(parts)
    return whole if whole != folder or not place.strip("./") else ""


def _claims(name: str, text: str) -> Iterator[Claim]:
    try:
        if name == "pyproject.toml":
            yield from _pyproject(tomllib.loads(text))
        elif name == "cargo.toml":
            yield from _cargo(tomllib.loads(text))
        elif name in ("composer.json", "package.json"):
            values = json.loads(text)
            yield from _composer(values) if name == "composer.json" else _package(values)
        elif name in ("setup.cfg", "tox.ini", "pytest.ini"):
            yield from _ini(text)
        elif name == "pom.xml":
            yield from (
                (place, Role.TEST if tag[0] == "t" else Role.SOURCE) for tag, place in _POM.findall(text)
            )
        elif _TEST_PROJECT.search(text):
            yield ".", Role.TEST
    except (ValueError, configparser.Error, RecursionError):
        # Half-written or a template: it declares nothing.
        return


def _texts(value: Any) -> Iterator[str]:
    """The strings of a value that may be one or a list of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _pyproject(values: Any) -> Iterator[Claim]:
    tests = _at(values, "tool", "pytest", "ini_options", "testpaths")
    for text in _texts(tests):
        yield from ((place, Role.TEST) for place in text.split())
    for keys in (
        ("setuptools", "packages", "find", "where"),
        ("hatch", "build", "targets", "wheel", "packages"),
    ):
        yield from ((place, Role.SOURCE) for place in _texts(_at(values, "tool", *keys)))
    packages = _at(values, "tool", "poetry", "packages")
    for item in packages if isinstance(packages, list) else ():
        for place in _texts(_at(item, "include")):
            yield "/".join([*_texts(_at(item, "from")), place]), Role.SOURCE


def _cargo(values: Any) -> Iterator[Claim]:
    yield from ((place, Role.SOURCE) for place in _texts(_at(values, "lib", "path")))
    for key, role in (
        ("bin", Role.SOURCE),
        ("example", Role.EXAMPLE),
        ("test", Role.TEST),
        ("bench", Role.TEST),
    ):
        items = _at(values, key)
        for item in items if isinstance(items, list) else ():
            yield from ((place, role) for place in _texts(_at(item, "path")))


def _composer(values: Any) -> Iterator[Claim]:
    for key, role in (("autoload-dev", Role.TEST), ("autoload", Role.SOURCE)):
        for kind in ("psr-4", "psr-0", "classmap"):
            places = _at(values, key, kind)
            for value in places.values() if isinstance(places, dict) else (places,):
                yield from ((place, role) for place in _texts(value))


def _package(values: Any) -> Iterator[Claim]:
    for key in ("main", "module", "types", "source"):
        yield from ((place, Role.SOURCE) for place in _texts(_at(values, key)))
    roots = _at(values, "jest", "roots")
    yield from ((place.replace("<rootDir>", "."), Role.TEST) for place in _texts(roots) if "test" in place)


def _ini(text: str) -> Iterator[Claim]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    for section in ("tool:pytest", "pytest"):
        if parser.has_option(section, "testpaths"):
            yield from ((place, Role.TEST) for place in parser.get(section, "testpaths").split())
