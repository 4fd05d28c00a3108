"""The signals: per file, how strongly each kind of evidence speaks for it, under one set of parameters.

Every signal is scaled to at most 1 over the primary source files, so that weights compare.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.postings.symbols import resolve
from hal9.ripmap.ranking.bm25f import best_per_file
from hal9.ripmap.ranking.prepared_task import Case
from hal9.ripmap.records import Role
from hal9.ripmap.storage.sparse import Lines, distinct, lines_of, numbered

if TYPE_CHECKING:
    from hal9.passing import Graph

__all__ = ["Evidence", "coupled", "file_graph", "importance", "kin", "scaled"]

Array = NDArray[np.float64]
_BEST_TESTS = 12
_BEST_TEST_CHUNKS = 20
_BEST_SOURCES = 10
_TOLERANCE = 1e-6


class Evidence:
    """Signals of one case under one parameter set; each is computed when first asked for."""

    def __init__(self, case: Case, parameters: Parameters) -> None:
        self.case = case
        self.terrain = case.terrain
        self.parameters = parameters
        self.size = len(case.terrain.paths)
        self._task_weights = case.words.idf * case.words.weights(parameters)

    @cached_property
    def _file_terms(self) -> Array:
        at = self.parameters
        fields = {
            "body": 1.0,
            "names": at["field_names"],
            "path": at["field_path"],
            "imports": at["field_imports"],
            "docs": at["field_docs"],
        }
        return self.case.files.saturated(fields, at["stem_weight"], at["words_k"], at["words_b"])

    @cached_property
    def _chunk_terms(self) -> Array:
        at = self.parameters
        fields = {"body": 1.0, "head": at["chunk_head"], "path": at["chunk_path"]}
        return self.case.chunks.saturated(fields, at["stem_weight"], at["chunk_k"], at["chunk_b"])

    @cached_property
    def chunk_scores(self) -> Array:
        """Definitions by all words, shape (chunks,)."""
        return self.case.chunks.scores(self._chunk_terms, self._task_weights)

    @cached_property
    def words(self) -> Array:
        """Files by all words, shape (files,), as all that follow."""
        return self.case.files.scores(self._file_terms, self._task_weights)

    def title(self) -> Array:
        """Files by the title's words."""
        title = self.case.words.idf * self.case.words.title_weights(self.parameters)
        return self.case.files.scores(self._file_terms, title)

    def chunks(self) -> Array:
        """Files by their best definitions."""
        return best_per_file(
            self.chunk_scores, self.terrain.lexicon.chunk_file, self.size, self.parameters["chunk_decay"]
        )

    def identifiers(self) -> Array:
        """Files by their best definition for the task's names alone."""
        weights = np.where(self.case.words.identifiers, self._task_weights, 0.0)
        if not weights.any():
            return np.zeros(self.size)
        scores = self.case.chunks.scores(self._chunk_terms, weights)
        return best_per_file(scores, self.terrain.lexicon.chunk_file, self.size, 0.0, 1)

    def heads(self) -> Array:
        """Files by the definition whose own name the task's words cover best, rare words counting more."""
        terrain, chunks, words = self.terrain, self.case.chunks, self.case.words
        matched = np.minimum(
            1.0, chunks.exact["head"] + self.parameters["stem_weight"] * chunks.related["head"]
        )
        scores = chunks.scores(matched, np.where(words.spoken, words.idf, 0.0))
        scores = scores * np.minimum(1.0, scores / np.maximum(terrain.head_rarity, 1e-9))
        return best_per_file(scores, terrain.lexicon.chunk_file, self.size, 0.0, 1)

    def pairs(self) -> Array:
        """Files that hold the task's word pairs."""
        title, prose = self.case.pairs
        return self.parameters["query_title"] * title + self.parameters["query_prose"] * prose

    def callees(self) -> Array:
        """Files of the definitions that the best matching definitions refer to (shadow pass)."""
        terrain, lexicon = self.terrain, self.terrain.lexicon
        scores = np.where(terrain.primary[lexicon.chunk_file], self.chunk_scores, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argsort(-scores, kind="stable")[:_BEST_SOURCES]
        strength = (scores[best] / scores[best[0]]) ** 3
        links = symbol_links(terrain, self.parameters)
        owner, file = lexicon.chunk_owner[best], lexicon.chunk_file[best]
        count = len(terrain.symbols.name)
        nodes = np.where(owner >= 0, terrain.symbols.start[file] + owner, count + file)
        reached = links.weighted(nodes, strength / np.sqrt(np.maximum(1, links.sizes[nodes])))
        by_file: Array = np.bincount(terrain.symbols.file, reached[:count], self.size).astype(np.float64)
        return by_file

    def path(self) -> Array:
        """Files by the words of their path."""
        at = self.parameters
        terms = self.case.files.saturated({"path": 1.0}, at["stem_weight"], at["path_k"], at["path_b"])
        return self.case.files.scores(terms, self._task_weights)

    def traceback(self) -> Array:
        """Files of the task's stack frames, inner frames first."""
        found = np.zeros(self.size)
        for depth, frame in enumerate(self.case.frames):
            for position, share in frame:
                found[position] = max(found[position], self.parameters["traceback_decay"] ** depth * share)
        return found

    def tests(self) -> Array:
        """What the best matching tests import, at most 1; less where tests match less than sources do."""
        scores = np.where(self.terrain.tests, self.words, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argsort(-scores, kind="stable")[:_BEST_TESTS]
        strength = (scores[best] / scores[best[0]]) ** self.parameters["test_sharpness"]
        found = scaled(_test_spread(self.terrain).weighted(best, strength), self.terrain.primary)
        source = float(self.words[self.terrain.primary].max()) if self.terrain.primary.any() else 0.0
        return found * min(1.0, float(scores[best[0]]) / source) ** 2 if source > 0 else found

    def test_names(self) -> Array:
        """Definers of the names that the best matching test functions use."""
        terrain = self.terrain
        scores = np.where(terrain.tests[terrain.lexicon.chunk_file], self.chunk_scores, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argpartition(-scores, min(_BEST_TEST_CHUNKS, len(scores) - 1))[:_BEST_TEST_CHUNKS]
        strength = (scores[best] / scores[best].max()) ** (0.5 * self.parameters["test_sharpness"])
        columns, places, _ = terrain.test_words.select(best)
        matrix = terrain.definers_by_token
        definers = np.maximum(1, matrix.indptr[columns + 1] - matrix.indptr[columns])
        # A common name says less of each definer (1/n), and less at all (1/√n).
        weight = strength[places] * terrain.rarity[columns] / definers**1.5
        tokens, which = numbered(columns)
        return matrix.weighted(tokens, np.bincount(which, weight, len(tokens)).astype(np.float64))

    def imported(self, base: Array) -> Array:
        """What the files leading so far import."""
        lead = np.where(self.terrain.primary, base, 0.0)
        if lead.max() <= 0:
            return np.zeros(self.size)
        best = np.argsort(-lead, kind="stable")[:_BEST_SOURCES]
        strength = (lead[best] / lead[best[0]]) ** 3
        return _source_spread(self.terrain).weighted(best, strength)


def scaled(values: Array, primary: NDArray[np.bool_]) -> Array:
    """Divided by the largest value of a primary file; others are held to 1."""
    highest = float(values[primary].max()) if primary.any() else 0.0
    return np.minimum(values / highest, 1.0) if highest > 0 else np.zeros(len(values))


def kin(case: Case, parameters: Parameters) -> Array:
    """Files of past commits like the task; kept while the query's weights stay the same."""
    if case.chronicle is None:
        return np.zeros(len(case.terrain.paths))
    key = tuple(value for name, value in parameters.items() if name.startswith("query_"))
    if key not in case.memory:
        case.memory.clear()
        case.memory[key] = case.chronicle.kin(case.query, parameters, case.task.time)
    return case.memory[key]


def coupled(case: Case) -> Array:
    """What used to change together with chat files and with named files."""
    anchors = distinct(np.concatenate([case.chat, np.flatnonzero(case.named > 0.5)])).astype(np.intp)
    if case.chronicle is None or not len(anchors):
        return np.zeros(len(case.terrain.paths))
    return case.chronicle.coupled(anchors, case.task.time)


def _spread(terrain: IndexData, readers: NDArray[np.bool_] | None) -> Lines:
    """Imports, divided by the root of the importer's imports and the log of the target's importers."""
    links = terrain.imports
    source = links.line_of_entry
    outgoing = np.maximum(links.sizes, 1)
    counted = links.indices if readers is None else links.indices[readers[source]]
    incoming = np.bincount(counted, minlength=links.across)
    data = links.data / (np.sqrt(outgoing)[source] * np.log(2.0 + incoming)[links.indices])
    return Lines(data, links.indices, links.indptr, links.across)


def _test_spread(terrain: IndexData) -> Lines:
    found: Lines = terrain.cached("test_spread", lambda: _spread(terrain, terrain.tests))
    return found


def _source_spread(terrain: IndexData) -> Lines:
    found: Lines = terrain.cached("source_spread", lambda: _spread(terrain, None))
    return found


def symbol_links(terrain: IndexData, parameters: Parameters) -> Lines:
    """Nodes x nodes by the shadow pass, divided by the log of how many refer to the target."""
    strategy = tuple(value for name, value in parameters.items() if name.startswith("shadow_"))

    def build() -> Lines:
        candidates = terrain.candidates
        _, weight = resolve(candidates, parameters, "shadow")
        size = len(terrain.symbols.name) + len(terrain.paths)
        links = lines_of(candidates.source, candidates.target, np.minimum(weight, 1.0), (size, size))
        data = np.minimum(links.data, 1.0)
        incoming = np.bincount(links.indices, data > 0.1, size)
        return Lines(data / np.log(2.0 + incoming[links.indices]), links.indices, links.indptr, size)

    found: Lines = terrain.cached(("symbol_links", strategy), build)
    return found


def file_graph(terrain: IndexData, parameters: Parameters) -> "Graph":
    """Files linked by the final pass over their references, and by imports."""
    strategy = tuple(value for name, value in parameters.items() if name.startswith("final_"))

    def build() -> "Graph":
        from hal9.passing import Graph  # noqa: PLC0415 - a query with a task needs no graph

        candidates, symbols = terrain.candidates, terrain.symbols
        _, weight = resolve(candidates, parameters, "final")
        source = terrain.file_of_node(candidates.source)
        target = symbols.file[candidates.target]
        other = source != target
        imports, size = terrain.imports, len(terrain.paths)
        joined = lines_of(
            np.concatenate([source[other], imports.line_of_entry]),
            np.concatenate([target[other], imports.indices]),
            np.concatenate([weight[other], imports.data]).astype(np.float64),
            (size, size),
        )
        live = joined.data > 1e-4
        return Graph(joined.line_of_entry[live], joined.indices[live], size, weight=joined.data[live])

    graph: Graph = terrain.cached(("file_graph", strategy), build)
    return graph


def importance(case: Case, parameters: Parameters) -> Array:
    """PageRank over files, scaled to at most 1 over primary files; hubs damped."""
    from hal9.passing import personalized_pagerank  # noqa: PLC0415 - a query with a task does without

    at, terrain = parameters, case.terrain
    if not len(terrain.paths):
        return np.zeros(0)
    names = (
        "pagerank_alpha",
        "depth_weight_root",
        "depth_weight_moderate",
        "depth_weight_deep",
        "depth_weight_vendor",
    )
    pull = at["pagerank_chat_multiplier"] if len(case.chat) else 0.0
    strategy = tuple(value for name, value in at.items() if name.startswith("final_"))
    key = ("pagerank", *(at[name] for name in names), tuple(case.chat), pull, strategy)

    def build() -> Array:
        depth = terrain.depth
        restart = np.where(
            depth <= 2,
            at["depth_weight_root"],
            np.where(depth <= 4, at["depth_weight_moderate"], at["depth_weight_deep"]),
        )
        restart = np.where(terrain.role(Role.VENDORED), at["depth_weight_vendor"], restart)
        restart[case.chat] *= at["pagerank_chat_multiplier"]
        graph = file_graph(terrain, at)
        return personalized_pagerank(graph, restart, alpha=at["pagerank_alpha"], tol=_TOLERANCE).scores

    rank: Array = terrain.cached(key, build)
    if at["hub_damping"] > 0:
        incoming = 1.0 + np.asarray(file_graph(terrain, at).in_degree, np.float64)
        rank = rank / incoming ** (0.5 * at["hub_damping"])
    return scaled(rank, terrain.primary)
