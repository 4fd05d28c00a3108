"""Which files and symbols of a repository does a task need?

Ranked without a language model, drawn within a token budget.

`render_map(workspace, task, tokens)` is all that most callers need; `open_index`, `rank` and `draw_map` are
its parts.
Names are resolved on first use, so that importing the room costs nothing.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.ripmap.evaluation import Evaluator
    from hal9.ripmap.evidence import Task
    from hal9.ripmap.history import History
    from hal9.ripmap.index import Index
    from hal9.ripmap.mapper import Mapper, Question, explain_text, find_symbol, render_map
    from hal9.ripmap.model import Commit, Definition, FileRecord, Import, Reference, Role, StringLiteral
    from hal9.ripmap.opening import open_index, open_revision
    from hal9.ripmap.packer import MapOptions
    from hal9.ripmap.parameters import PARAMETERS, Parameters
    from hal9.ripmap.presets import Preset, load_preset
    from hal9.ripmap.ranking import RankedFile, RankedSymbol, Ranking, rank
    from hal9.ripmap.render import draw_map
    from hal9.ripmap.settings import IndexSettings, load_settings
    from hal9.ripmap.tokens import token_counter

__all__ = [
    "PARAMETERS",
    "Commit",
    "Definition",
    "Evaluator",
    "FileRecord",
    "History",
    "Import",
    "Index",
    "IndexSettings",
    "MapOptions",
    "Mapper",
    "Parameters",
    "Preset",
    "Question",
    "RankedFile",
    "RankedSymbol",
    "Ranking",
    "Reference",
    "Role",
    "StringLiteral",
    "Task",
    "draw_map",
    "explain_text",
    "find_symbol",
    "load_preset",
    "load_settings",
    "open_index",
    "open_revision",
    "rank",
    "render_map",
    "token_counter",
]

_HOMES = {
    "evaluation": ("Evaluator",),
    "evidence": ("Task",),
    "history": ("History",),
    "index": ("Index",),
    "mapper": ("Mapper", "Question", "explain_text", "find_symbol", "render_map"),
    "model": ("Commit", "Definition", "FileRecord", "Import", "Reference", "Role", "StringLiteral"),
    "opening": ("open_index", "open_revision"),
    "packer": ("MapOptions",),
    "parameters": ("PARAMETERS", "Parameters"),
    "presets": ("Preset", "load_preset"),
    "ranking": ("RankedFile", "RankedSymbol", "Ranking", "rank"),
    "render": ("draw_map",),
    "settings": ("IndexSettings", "load_settings"),
    "tokens": ("token_counter",),
}

__getattr__ = lazy_names(__name__, _HOMES)
