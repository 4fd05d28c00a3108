"""Presets: named parameters, heuristics that look at the repository, warnings that look at parameters.

A preset is a JSON file::

    {"description": "…", "parameters": {"weight_errors": 0.8},
     "heuristics": [{"when": [["test_share", ">", 0.4]], "set": {"role_test": 0.2}, "because": "…"}],
     "warnings": [{"when": [["focus_decay", ">", 0.7]], "text": "…"}],
     "evidence": {…}}

It is found by path, or by name in the repository's `.ripmap/presets`, the user's configuration, the package.
"""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hal9.errors.ripmap import ParameterInvalid, PresetInvalid
from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.records import Role

__all__ = [
    "FEATURES",
    "Condition",
    "Heuristic",
    "Preset",
    "Warn",
    "features_of",
    "list_presets",
    "load_preset",
    "save_preset",
]

_SHIPPED = Path(__file__).parent / "preset_files"
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FEATURES = {
    "files": "how many files the index holds",
    "source_files": "how many are source and nothing else",
    "test_share": "tests among all source files",
    "mean_depth": "mean number of folders above source files",
    "deep_share": "source files at least five folders deep",
    "vendored_share": "vendored files among all",
    "imports_per_file": "imports resolved within the repository per source file",
    "definitions_per_file": "definitions per source file",
}
"""What a heuristic may look at."""

Condition = tuple[str, str, float]
"""Name, comparison, bound."""


@dataclass(frozen=True, slots=True)
class Heuristic:
    """Parameters for repositories that meet all conditions."""

    when: tuple[Condition, ...]
    changes: dict[str, float]
    because: str = ""


@dataclass(frozen=True, slots=True)
class Warn:
    """A text for parameter sets that meet all conditions."""

    when: tuple[Condition, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of parameters and what was learned with it."""

    name: str
    parameters: Parameters
    description: str = ""
    heuristics: tuple[Heuristic, ...] = ()
    warnings: tuple[Warn, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def parameters_for(self, features: Mapping[str, float]) -> Parameters:
        """The parameters after the heuristics that apply; later ones win."""
        changes: dict[str, float] = {}
        for heuristic in self.heuristics:
            if _holds(heuristic.when, features):
                changes |= heuristic.changes
        return self.parameters.changed(changes) if changes else self.parameters

    def warnings_for(self, parameters: Mapping[str, float]) -> list[str]:
        """Texts of the warnings that a parameter set meets."""
        return [warning.text for warning in self.warnings if _holds(warning.when, parameters)]


def _holds(conditions: Sequence[Condition], values: Mapping[str, float]) -> bool:
    return all(_COMPARE[sign](values[name], bound) for name, sign, bound in conditions)


def features_of(index_data: IndexData) -> dict[str, float]:
    """The repository's measurable features, as named in `FEATURES`."""
    primary = index_data.primary
    source = index_data.role(Role.SOURCE)
    count = max(1, int(primary.sum()))
    return {
        "files": float(len(index_data.paths)),
        "source_files": float(primary.sum()),
        "test_share": float(index_data.tests.sum() / max(1, int(source.sum()))),
        "mean_depth": float(index_data.depth[primary].mean()) if primary.any() else 0.0,
        "deep_share": float((index_data.depth[primary] >= 5).mean()) if primary.any() else 0.0,
        "vendored_share": float(index_data.role(Role.VENDORED).mean()) if len(index_data.paths) else 0.0,
        "imports_per_file": float(index_data.imports.sizes[primary].sum() / count),
        "definitions_per_file": float(
            np.isin(index_data.symbols.file_index, np.flatnonzero(primary)).sum() / count
        ),
    }


def _folders(root: Path | None) -> list[Path]:
    from platformdirs import user_config_path  # noqa: PLC0415 - not needed for a path or a shipped preset

    folders = [root / ".ripmap" / "presets"] if root is not None else []
    return [*folders, user_config_path("ripmap", appauthor=False) / "presets", _SHIPPED]


def list_presets(root: Path | None = None) -> list[str]:
    """Names that `load_preset` knows."""
    return sorted(
        {file.stem for folder in _folders(root) if folder.is_dir() for file in folder.glob("*.json")}
    )


def load_preset(name: str | Path, root: Path | None = None) -> Preset:
    """Load a preset by path or by name.

    Args:
        name: a file's path, or a name.
        root: the repository, whose own presets come first.

    Raises:
        PresetInvalid: there is none, or the file is not a valid preset.
    """
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        candidates = [folder / f"{name}.json" for folder in _folders(root)]
        path = next((file for file in candidates if file.is_file()), path)
        if not path.is_file():
            known = ", ".join(list_presets(root)) or "none"
            raise PresetInvalid(name=str(name), detail=f"there is no such preset (known: {known})")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _preset(path.stem, values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ParameterInvalid) as error:
        raise PresetInvalid(name=str(path), detail=f"{type(error).__name__}: {error}") from error


def _preset(name: str, values: dict[str, Any]) -> Preset:
    unknown = set(values) - {"description", "parameters", "heuristics", "warnings", "evidence", "name"}
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    heuristics = tuple(
        Heuristic(_conditions(item["when"], FEATURES), _changes(item["set"]), item.get("because", ""))
        for item in values.get("heuristics", [])
    )
    warnings = tuple(
        Warn(_conditions(item["when"], PARAMETERS), str(item["text"])) for item in values.get("warnings", [])
    )
    return Preset(
        name,
        Parameters(values.get("parameters", {})),
        str(values.get("description", "")),
        heuristics,
        warnings,
        dict(values.get("evidence", {})),
    )


def _changes(values: Mapping[str, float]) -> dict[str, float]:
    checked = Parameters(values)
    return {name: checked[name] for name in values}


def _conditions(items: Sequence[Sequence[Any]], names: Mapping[str, Any]) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for name, sign, bound in items:
        if name not in names:
            raise ValueError(f"condition on {name!r}, which is not one of {', '.join(names)}")
        if sign not in _COMPARE:
            raise ValueError(f"comparison {sign!r} is not one of {', '.join(_COMPARE)}")
        found.append((str(name), str(sign), float(bound)))
    return tuple(found)


def save_preset(preset: Preset, folder: Path) -> Path:
    """Write a preset where `load_preset` finds it; returns the file."""
    values = {
        "description": preset.description,
        "parameters": preset.parameters.changes(),
        "heuristics": [
            {"when": list(item.when), "set": item.changes, "because": item.because}
            for item in preset.heuristics
        ],
        "warnings": [{"when": list(item.when), "text": item.text} for item in preset.warnings],
        "evidence": preset.evidence,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{preset.name}.json"
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
