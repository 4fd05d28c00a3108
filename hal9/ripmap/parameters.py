"""Every coordinate of the ranker: one table for validation, documentation and the trainer's schema.

There are no branches to learn, only coordinates: each decision is a number on a linear or a logarithmic
scale.
`origin` "seed" marks the seventeen names that every ripmap has had, "strategy" the two passes over the
symbol graph,
"extra" what this ranker adds.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from hal9.errors.ripmap import ParameterInvalid
from hal9.ripmap.files.language_groups import LANGUAGE_GROUPS

__all__ = ["PARAMETERS", "Parameter", "Parameters", "parameter_table", "parameters_schema"]

Scale = Literal["linear", "log"]
Origin = Literal["seed", "strategy", "extra"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One coordinate. `with_` holds values of other coordinates without which it does not act."""

    name: str
    default: float
    low: float
    high: float
    scale: Scale
    meaning: str
    origin: Origin = "extra"
    with_: tuple[tuple[str, float], ...] = ()

    def clamp(self, value: float) -> float:
        """The nearest value within the range."""
        return min(self.high, max(self.low, value))

    def to_unit(self, value: float) -> float:
        """Position within the range on the parameter's own scale, 0 to 1."""
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, unit: float) -> float:
        """The inverse of `to_unit`, clamped to the range."""
        unit = min(1.0, max(0.0, unit))
        if self.scale == "log":
            return self.clamp(self.low * (self.high / self.low) ** unit)
        return self.clamp(self.low + unit * (self.high - self.low))


_COMPANIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "pagerank_": (("weight_structure", 1.0),),
    "depth_weight_": (("weight_structure", 1.0),),
    "git_": (("weight_history", 1.0),),
    "hub_": (("weight_structure", 1.0),),
    "final_": (("weight_structure", 1.0), ("hub_damping", 0.5)),
    "shadow_": (("weight_callees", 2.0),),
}
"""Structure, history and callees are off by default beside a task; these coordinates act only with them."""


def _companions(name: str) -> tuple[tuple[str, float], ...]:
    return next((found for prefix, found in _COMPANIONS.items() if name.startswith(prefix)), ())


def _seed(name: str, default: float, low: float, high: float, scale: Scale, meaning: str) -> Parameter:
    return Parameter(name, default, low, high, scale, meaning, "seed", _companions(name))


_SEED = (
    _seed("pagerank_alpha", 0.85, 0.70, 0.95, "linear", "damping: how far importance flows along references"),
    _seed(
        "pagerank_chat_multiplier",
        100.0,
        10.0,
        200.0,
        "log",
        "how much more often a walk restarts at chat files",
    ),
    _seed("depth_weight_root", 1.0, 0.5, 2.0, "linear", "restart weight of files at most two folders deep"),
    _seed(
        "depth_weight_moderate", 0.5, 0.2, 1.0, "linear", "restart weight of files three or four folders deep"
    ),
    _seed("depth_weight_deep", 0.1, 0.05, 0.5, "linear", "restart weight of files deeper than that"),
    _seed(
        "depth_weight_vendor", 0.01, 0.001, 0.1, "log", "restart weight, and score factor, of vendored files"
    ),
    _seed("boost_mentioned_ident", 10.0, 2.0, 50.0, "log", "odds for files that define a name of the task"),
    _seed(
        "boost_mentioned_file", 5.0, 2.0, 20.0, "log", "odds for files that the task names by path or module"
    ),
    _seed("boost_chat_file", 20.0, 5.0, 100.0, "log", "odds for files already in the conversation"),
    _seed(
        "boost_temporal_coupling",
        3.0,
        1.0,
        10.0,
        "log",
        "odds for files that change together with chat and named files",
    ),
    _seed("boost_focus_expansion", 5.0, 1.0, 20.0, "log", "odds for files near the focus words in the graph"),
    _seed("git_recency_decay_days", 30.0, 7.0, 90.0, "linear", "days after which recency falls to 1/e"),
    _seed("git_recency_max_boost", 10.0, 2.0, 20.0, "log", "odds of a file changed this instant"),
    _seed("git_churn_threshold", 5.0, 3.0, 15.0, "linear", "commits a file needs before churn counts"),
    _seed("git_churn_max_boost", 6.0, 2.0, 15.0, "log", "odds that heavy churn approaches"),
    _seed("focus_decay", 0.5, 0.2, 0.8, "linear", "share of focus that survives each hop"),
    _seed(
        "focus_max_hops",
        2.0,
        1.0,
        3.0,
        "linear",
        "hops that focus spreads; a fraction counts the last hop partly",
    ),
)


def _extra(name: str, default: float, low: float, high: float, scale: Scale, meaning: str) -> Parameter:
    return Parameter(name, default, low, high, scale, meaning, "extra", _companions(name))


_QUERY = (
    _extra("query_title", 2.0, 0.1, 5.0, "log", "weight of the title's words"),
    _extra("query_prose", 1.0, 0.1, 5.0, "log", "weight of the prose's words"),
    _extra("query_code", 0.6, 0.05, 5.0, "log", "weight of words in pasted code"),
    _extra("query_output", 0.3, 0.05, 5.0, "log", "weight of words that a program printed"),
    _extra("query_traceback", 0.4, 0.05, 5.0, "log", "weight of words in stack traces"),
    _extra("query_diff", 0.6, 0.05, 5.0, "log", "weight of words in pasted diffs"),
    _extra("query_configuration", 0.6, 0.05, 5.0, "log", "weight of words in pasted configuration"),
    _extra("query_command", 0.6, 0.05, 5.0, "log", "weight of words in commands"),
    _extra("query_saturation", 1.2, 0.1, 10.0, "log", "how soon repeating a word stops adding"),
    _extra(
        "query_boilerplate", 0.0, 0.0, 1.0, "linear", "weight of words that speak of the change, not the code"
    ),
    _extra(
        "stem_weight", 0.3, 0.0, 1.0, "linear", "worth of a word with the same stem beside the word itself"
    ),
    _extra(
        "abbreviation_weight", 0.0, 0.0, 1.0, "linear", "worth of an abbreviation that the repository teaches"
    ),
)
_WORDS = (
    _extra("words_k", 1.6, 0.3, 5.0, "log", "saturation of a word within a file"),
    _extra("words_b", 0.6, 0.0, 1.0, "linear", "how much long files are discounted"),
    _extra(
        "field_names", 3.0, 0.0, 10.0, "linear", "worth of a word in a file's defined names, against its body"
    ),
    _extra("field_path", 4.0, 0.0, 10.0, "linear", "worth of a word in a file's path, against its body"),
    _extra("field_imports", 0.5, 0.0, 5.0, "linear", "worth of a word in a file's imports, beside its body"),
    _extra("field_docs", 0.0, 0.0, 5.0, "linear", "worth of a word in documentation, beside its body"),
    _extra("chunk_k", 1.2, 0.3, 5.0, "log", "saturation of a word within a function or class"),
    _extra("chunk_b", 0.5, 0.0, 1.0, "linear", "how much long functions and classes are discounted"),
    _extra(
        "chunk_head", 3.0, 0.0, 10.0, "linear", "worth of a word in a definition's own name, against its body"
    ),
    _extra("chunk_path", 1.0, 0.0, 5.0, "linear", "worth of a word in the path, for a definition"),
    _extra("chunk_decay", 0.6, 0.0, 0.95, "linear", "worth of each further matching definition of a file"),
    _extra("path_k", 0.5, 0.1, 5.0, "log", "saturation of a word within a path"),
    _extra("path_b", 0.5, 0.0, 1.0, "linear", "how much long paths are discounted"),
)
_WEIGHTS = (
    _extra("weight_words", 1.0, 0.0, 3.0, "linear", "words of the task in the whole file"),
    _extra("weight_chunks", 1.0, 0.0, 3.0, "linear", "words of the task in the file's best definitions"),
    _extra("weight_title", 1.0, 0.0, 3.0, "linear", "words of the title alone"),
    _extra("weight_path", 1.0, 0.0, 3.0, "linear", "words of the task in the path"),
    _extra("weight_heads", 0.7, 0.0, 3.0, "linear", "definitions whose name the task's words cover"),
    _extra("weight_pairs", 1.0, 0.0, 3.0, "linear", "two words of the task in a row, in a row in the file"),
    _extra("weight_callees", 0.0, 0.0, 2.0, "linear", "what the best matching definitions refer to"),
    _extra("weight_identifiers", 1.0, 0.0, 3.0, "linear", "names of the task in the file's best definition"),
    _extra(
        "weight_mentions",
        0.35,
        0.0,
        2.0,
        "linear",
        "names of the task that the file defines (with boost_mentioned_ident)",
    ),
    _extra(
        "weight_named_files", 0.93, 0.0, 3.0, "linear", "files named in the task (with boost_mentioned_file)"
    ),
    _extra(
        "naming_cap",
        0.7,
        0.1,
        5.0,
        "log",
        "most that defining what the task names is worth (mentions, heads and test_names together)",
    ),
    _extra("weight_stems", 0.0, 0.0, 3.0, "linear", "files whose own name the title or prose says"),
    _extra("weight_traceback", 1.0, 0.0, 3.0, "linear", "files in the task's stack traces"),
    _extra("traceback_decay", 0.8, 0.2, 1.0, "linear", "worth of each frame further out"),
    _extra("weight_tests", 0.7, 0.0, 3.0, "linear", "files imported by tests that match the task"),
    _extra("weight_test_names", 0.7, 0.0, 3.0, "linear", "files that define what the matching tests use"),
    _extra("test_sharpness", 4.0, 1.0, 8.0, "linear", "how much the best matching tests outweigh the others"),
    _extra("weight_imported", 0.4, 0.0, 2.0, "linear", "files imported by the best matches so far"),
    _extra("weight_options", 0.0, 0.0, 2.0, "linear", "files that alone hold an option of the task"),
    _extra("weight_scope", 0.7, 0.0, 2.0, "linear", "files in the folder that the title begins with"),
    _extra("weight_together", 0.5, 0.0, 5.0, "linear", "files that commits changed with the leading file"),
    _extra("weight_beside", 0.0, 0.0, 1.0, "linear", "files of the leading file's folder and role"),
    _extra(
        "weight_calls",
        0.08,
        0.0,
        1.0,
        "linear",
        "callers and callees of the leading file's best definitions",
    ),
    _extra(
        "weight_errors",
        0.5,
        0.0,
        3.0,
        "linear",
        "files whose strings hold the task's error messages and quotations",
    ),
    _extra("weight_commits", 1.0, 0.0, 3.0, "linear", "files of past commits whose messages match the task"),
    _extra("weight_structure", 0.0, 0.0, 1.0, "linear", "importance in the reference graph, with a task"),
    _extra("weight_history", 0.0, 0.0, 1.0, "linear", "recency and churn, with a task"),
    _extra(
        "hub_damping",
        0.0,
        0.0,
        2.0,
        "linear",
        "0 lets hubs lead, 1 neutralises, above 1 penalises much-used files",
    ),
    _extra(
        "interaction_mixing",
        0.0,
        0.0,
        1.0,
        "linear",
        "0 adds evidence (any may suffice), 1 multiplies it (all are needed)",
    ),
    _extra("symbol_file_share", 0.5, 0.0, 1.0, "linear", "how much a file's rank decides its symbols' rank"),
)
_GROUP_NAMES = ("Python", "JavaScript and TypeScript", "Go", "Rust", "Java, Kotlin and Scala", ".NET", "PHP",
                "Ruby", "C and C++", "all other")  # fmt: skip
_ROLES = (
    _extra("role_test", 0.3, 0.01, 1.0, "log", "score factor of tests"),
    _extra("role_docs", 0.25, 0.01, 1.0, "log", "score factor of documentation"),
    _extra("role_example", 0.3, 0.01, 1.0, "log", "score factor of examples"),
    _extra("role_generated", 0.3, 0.01, 1.0, "log", "score factor of generated files"),
    _extra("role_config", 0.3, 0.01, 1.0, "log", "score factor of configuration and deployment files"),
    *(
        _extra(f"role_strength_{name}", 1.0, 0.25, 4.0, "log", f"power of the roles of {told} files")
        for name, told in zip(LANGUAGE_GROUPS, _GROUP_NAMES, strict=True)
    ),
    _extra("role_data", 0.1, 0.01, 1.0, "log", "score factor of data and lock files"),
    _extra(
        "operations_boost",
        3.0,
        1.0,
        20.0,
        "log",
        "odds for configuration and deployment files when the task speaks of them",
    ),
)


def _strategy(prefix: str, values: tuple[float, ...]) -> Iterator[Parameter]:
    table = (
        ("weight_same_file", 0.1, 2.0, "trust in a definition of the same file"),
        ("weight_type_hint", 0.1, 2.0, "trust in a receiver's known class"),
        ("weight_import", 0.1, 2.0, "trust in an import of the defining file"),
        ("weight_name_match", 0.0, 1.5, "trust in an equal name anywhere"),
        ("acceptance_bias", 0.0, 1.0, "confidence at which a candidate is half accepted"),
        ("acceptance_slope", 0.5, 50.0, "how sharply acceptance rises"),
        ("selection_temperature", 0.001, 5.0, "0 keeps the best candidate, more spreads over all"),
        ("evidence_accumulation", 0.0, 1.0, "0 takes the best reason, 1 adds independent reasons up"),
        ("proximity_boost", 0.0, 0.5, "confidence added within one folder"),
    )
    for (name, low, high, meaning), value in zip(table, values, strict=True):
        scale: Scale = "log" if name in ("acceptance_slope", "selection_temperature") else "linear"
        which = "recall-first pass" if prefix == "shadow" else "precision-first pass"
        full = f"{prefix}_{name}"
        yield Parameter(full, value, low, high, scale, f"{meaning} ({which})", "strategy", _companions(full))


_STRATEGY = (
    *_strategy("shadow", (1.0, 1.0, 1.0, 0.9, 0.2, 8.0, 0.2, 0.0, 0.15)),
    *_strategy("final", (1.0, 1.1, 1.0, 0.2, 0.4, 12.0, 0.05, 0.0, 0.1)),
)

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {item.name: item for item in (*_SEED, *_QUERY, *_WORDS, *_WEIGHTS, *_ROLES, *_STRATEGY)},
)
"""Every coordinate by name, the seed's seventeen first."""


class Parameters(Mapping[str, float]):
    """A full, valid set of coordinates; what is not given has its default. Immutable and hashable."""

    __slots__ = ("_hash", "_values")

    def __init__(self, changes: Mapping[str, float] | None = None) -> None:
        """Take `changes` over the defaults.

        Raises:
            ParameterInvalid: a name is unknown, or a value is no number or outside its range.
        """
        values = {name: item.default for name, item in PARAMETERS.items()}
        for name, value in (changes or {}).items():
            values[name] = _checked(name, value)
        self._values = values
        self._hash: int | None = None

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(tuple(self._values.values()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self._values == other._values

    def __repr__(self) -> str:
        return f"Parameters({self.changes()})"

    def changed(self, changes: Mapping[str, float]) -> "Parameters":
        """A copy with some coordinates changed; raises as the constructor does."""
        return Parameters({**self._values, **changes})

    def changes(self) -> dict[str, float]:
        """The coordinates that differ from their defaults."""
        return {name: value for name, value in self._values.items() if value != PARAMETERS[name].default}


def _checked(name: str, value: Any) -> float:
    item = PARAMETERS.get(name)
    if item is None:
        from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name is compared with others

        near = get_close_matches(name, PARAMETERS, n=1)
        raise ParameterInvalid(name=name, detail="no such parameter", nearest=near[0] if near else "")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterInvalid(name=name, detail=f"{value!r} is no finite number")
    if not item.low <= value <= item.high:
        raise ParameterInvalid(name=name, detail=f"{value:g} is outside {item.low:g} to {item.high:g}")
    return float(value)


def parameters_schema() -> dict[str, Any]:
    """JSON schema of a parameters file or of a trainer's proposal of values."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            item.name: {
                "type": "number",
                "minimum": item.low,
                "maximum": item.high,
                "default": item.default,
                "description": item.meaning,
                "x-scale": item.scale,
                "x-origin": item.origin,
            }
            for item in PARAMETERS.values()
        },
    }


def parameter_table() -> str:
    """The documentation's table, in Markdown."""
    rows = [
        f"| `{i.name}` | {i.default:g} | {i.low:g} to {i.high:g} | {i.scale} | {i.origin} | {i.meaning} |"
        for i in PARAMETERS.values()
    ]
    return "\n".join(
        ["| name | default | range | scale | origin | meaning |", "|---|---|---|---|---|---|", *rows]
    )
