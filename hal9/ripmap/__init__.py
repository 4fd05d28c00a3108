"""Which files and symbols of a repository does a task need?

Ranked without a language model, drawn within a token budget.

`render_map(workspace, task, tokens)` is all that most callers need; `open_index`, `rank` and `draw_map` are
its parts.
Names are resolved on first use, so that importing the room costs nothing.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.ripmap.evaluation.evaluation import Evaluator
    from hal9.ripmap.history.git_log import History
    from hal9.ripmap.index.index import Index
    from hal9.ripmap.index.opening import open_index, open_revision
    from hal9.ripmap.parameters import PARAMETERS, Parameters
    from hal9.ripmap.ranking.prepared_task import Task
    from hal9.ripmap.ranking.presets import Preset, load_preset
    from hal9.ripmap.ranking.ranker import RankedFile, RankedSymbol, Ranking, rank
    from hal9.ripmap.records import Commit, Definition, FileRecord, Import, Reference, Role, StringLiteral
    from hal9.ripmap.rendering.budget import MapOptions
    from hal9.ripmap.rendering.explain import explain_text
    from hal9.ripmap.rendering.render import draw_map
    from hal9.ripmap.rendering.repository_map import MapRequest, MapService, find_symbol, render_map
    from hal9.ripmap.settings import IndexSettings, load_settings
    from hal9.ripmap.text.token_count import token_counter

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
    "MapRequest",
    "MapService",
    "Parameters",
    "Preset",
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
    "evaluation.evaluation": ("Evaluator",),
    "ranking.prepared_task": ("Task",),
    "history.git_log": ("History",),
    "index.index": ("Index",),
    "rendering.repository_map": ("MapService", "MapRequest", "find_symbol", "render_map"),
    "rendering.explain": ("explain_text",),
    "records": ("Commit", "Definition", "FileRecord", "Import", "Reference", "Role", "StringLiteral"),
    "index.opening": ("open_index", "open_revision"),
    "rendering.budget": ("MapOptions",),
    "parameters": ("PARAMETERS", "Parameters"),
    "ranking.presets": ("Preset", "load_preset"),
    "ranking.ranker": ("RankedFile", "RankedSymbol", "Ranking", "rank"),
    "rendering.render": ("draw_map",),
    "settings": ("IndexSettings", "load_settings"),
    "text.token_count": ("token_counter",),
}

__getattr__ = lazy_names(__name__, _HOMES)
