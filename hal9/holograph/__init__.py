"""Causal structure from language and data, consistent across contexts.

`discover` asks a mind (or a scripted oracle) about pairs of variables, chosen by expected free energy, and
keeps a belief that is discrete (a posterior over relations) and continuous (a linear model over an acyclic
directed mixed graph, with local sections per context that must agree). `causes` does so for a table of
failures, `CausalGraph` for any table without a mind. Submodules load when their names are first used, so
importing this room is quick.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.holograph.causes import Cause, Causes, causes
    from hal9.holograph.data.table import Table, read_table
    from hal9.holograph.drawing import Drawn, DrawnEdge, dot, svg
    from hal9.holograph.evaluation.graph_distance import Scores, score
    from hal9.holograph.fit.estimator import CausalGraph, FittedEdge
    from hal9.holograph.fit.knowledge import Knowledge
    from hal9.holograph.model.embedding import HashedEmbedder
    from hal9.holograph.model.graph import MixedGraph
    from hal9.holograph.model.state import State, covariance, project
    from hal9.holograph.queries.answerers import Answerer, Asked, ScriptedOracle
    from hal9.holograph.questions import Answer, Question
    from hal9.holograph.runs.discovery import Discovery, Run, discover
    from hal9.holograph.runs.inquiry import DiscoveryState, Settings
    from hal9.holograph.runs.mind_answerer import MindAnswerer
    from hal9.holograph.runs.store import RunStore
    from hal9.holograph.sheaf.sections import Cover, GluingMeasures, descent, gluing_measures
    from hal9.holograph.spec import Context, Problem, Variable, load_problem

_HOMES = {
    "queries.answerers": ("Answerer", "Asked", "ScriptedOracle"),
    "causes": ("Cause", "Causes", "causes"),
    "runs.discovery": ("Discovery", "Run", "discover"),
    "drawing": ("Drawn", "DrawnEdge", "dot", "svg"),
    "fit.estimator": ("CausalGraph", "FittedEdge"),
    "fit.knowledge": ("Knowledge",),
    "model.embedding": ("HashedEmbedder",),
    "model.graph": ("MixedGraph",),
    "runs.inquiry": ("DiscoveryState", "Settings"),
    "evaluation.graph_distance": ("Scores", "score"),
    "runs.mind_answerer": ("MindAnswerer",),
    "questions": ("Answer", "Question"),
    "sheaf.sections": ("Cover", "GluingMeasures", "descent", "gluing_measures"),
    "spec": ("Context", "Problem", "Variable", "load_problem"),
    "model.state": ("State", "covariance", "project"),
    "runs.store": ("RunStore",),
    "data.table": ("Table", "read_table"),
}

__all__ = [
    "Answer",
    "Answerer",
    "Asked",
    "CausalGraph",
    "Cause",
    "Causes",
    "Context",
    "Cover",
    "Discovery",
    "DiscoveryState",
    "Drawn",
    "DrawnEdge",
    "FittedEdge",
    "GluingMeasures",
    "HashedEmbedder",
    "Knowledge",
    "MindAnswerer",
    "MixedGraph",
    "Problem",
    "Question",
    "Run",
    "RunStore",
    "Scores",
    "ScriptedOracle",
    "Settings",
    "State",
    "Table",
    "Variable",
    "causes",
    "covariance",
    "descent",
    "discover",
    "dot",
    "gluing_measures",
    "load_problem",
    "project",
    "read_table",
    "score",
    "svg",
]

__getattr__ = lazy_names(__name__, _HOMES)
