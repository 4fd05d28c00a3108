"""The signals: per file, how strongly each kind of evidence speaks for it, under one set of parameters.

Every signal is scaled to at most 1 over the primary source files, so that weights compare.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.postings.symbols import resolve
from hal9.ripmap.ranking.bm25f import best_per_file
from hal9.ripmap.ranking.prepared_task import PreparedTask
from hal9.ripmap.records import Role
from hal9.ripmap.storage.sparse import CsrMatrix, csr_matrix, distinct, numbered

if TYPE_CHECKING:
    from hal9.passing import Graph

__all__ = [
    "CHUNK_COORDINATES",
    "Features",
    "Memory",
    "cochange",
    "file_graph",
    "importance",
    "scaled",
    "similar_commits",
]

Array = NDArray[np.float64]
Memory = dict[str, tuple[tuple[float, ...], Array | None]]
"""By signal: the coordinates it was computed under, and its values (None: it is silent)."""
CHUNK_COORDINATES = (
    *(name for name in PARAMETERS if name.startswith("query_")),
    *("stem_weight", "abbreviation_weight", "chunk_k", "chunk_b", "chunk_head", "chunk_path"),
)
"""What changes how definitions match the task."""
_BEST_TESTS = 12
_BEST_TEST_CHUNKS = 20
_BEST_SOURCES = 10
_TOLERANCE = 1e-6


class Features:
    """Features of one task under one parameter set; each is computed when first asked for.

    With a memory, definitions' scores are kept for the next parameter set that leaves them as they are:
    signals that follow others need them each time.
    """

    def __init__(self, prepared: PreparedTask, parameters: Parameters, memory: Memory | None = None) -> None:
        self._memory = memory
        self.prepared = prepared
        self.index_data = prepared.index_data
        self.parameters = parameters
        self.size = len(prepared.index_data.paths)
        self._task_weights = prepared.words.idf * prepared.words.weights(parameters)
        self._kin = (parameters["stem_weight"], parameters["abbreviation_weight"])

    @cached_property
    def _file_terms(self) -> Array:
        params = self.parameters
        fields = {
            "body": 1.0,
            "names": params["field_names"],
            "path": params["field_path"],
            "imports": params["field_imports"],
            "docs": params["field_docs"],
        }
        return self.prepared.files.saturated(fields, self._kin, params["words_k"], params["words_b"])

    @cached_property
    def _chunk_terms(self) -> Array:
        params = self.parameters
        fields = {"body": 1.0, "head": params["chunk_head"], "path": params["chunk_path"]}
        return self.prepared.chunks.saturated(fields, self._kin, params["chunk_k"], params["chunk_b"])

    @cached_property
    def chunk_scores(self) -> Array:
        """Definitions by all words, shape (chunks,)."""
        key = tuple(self.parameters[name] for name in CHUNK_COORDINATES)
        return self.remembered(
            "(chunks)", key, lambda: self.prepared.chunks.scores(self._chunk_terms, self._task_weights)
        )

    def remembered(self, name: str, key: tuple[float, ...], make: Callable[[], Array]) -> Array:
        """What was made under this key last, where there is a memory; else made now. Nobody changes it.

        An array of whatever shape `make` gives.
        """
        known = None if self._memory is None else self._memory.get(name)
        if known is not None and known[0] == key and known[1] is not None:
            return known[1]
        made = make()
        if self._memory is not None:
            self._memory[name] = (key, made)
        return made

    @cached_property
    def words(self) -> Array:
        """Files by all words, shape (files,), as all that follow."""
        return self.prepared.files.scores(self._file_terms, self._task_weights)

    def title(self) -> Array:
        """Files by the title's words. Shape (files,)."""
        title = self.prepared.words.idf * self.prepared.words.title_weights(self.parameters)
        return self.prepared.files.scores(self._file_terms, title)

    def chunks(self) -> Array:
        """Files by their best definitions. Shape (files,)."""
        return best_per_file(
            self.chunk_scores, self.index_data.postings.chunk_file, self.size, self.parameters["chunk_decay"]
        )

    def identifiers(self) -> Array:
        """Files by their best definition for the task's names alone. Shape (files,)."""
        weights = np.where(self.prepared.words.identifiers, self._task_weights, 0.0)
        if not weights.any():
            return np.zeros(self.size)
        scores = self.prepared.chunks.scores(self._chunk_terms, weights)
        return best_per_file(scores, self.index_data.postings.chunk_file, self.size, 0.0, 1)

    def heads(self) -> Array:
        """Files by the definition whose own name the task's words cover best, rare words counting more.

        Shape (files,).
        """
        index_data, chunks, words = self.index_data, self.prepared.chunks, self.prepared.words
        matched = np.minimum(1.0, chunks.counts("head", self._kin))
        scores = chunks.scores(matched, np.where(words.spoken, words.idf, 0.0))
        scores = scores * np.minimum(1.0, scores / np.maximum(index_data.head_rarity, 1e-9))
        return best_per_file(scores, index_data.postings.chunk_file, self.size, 0.0, 1)

    def pairs(self) -> Array:
        """Files that hold the task's word pairs. Shape (files,)."""
        title, prose = self.prepared.pairs
        return self.parameters["query_title"] * title + self.parameters["query_prose"] * prose

    def callees(self) -> Array:
        """Files of the definitions that the best matching definitions refer to (shadow pass).

        Shape (files,).
        """
        index_data, postings = self.index_data, self.index_data.postings
        scores = np.where(index_data.primary[postings.chunk_file], self.chunk_scores, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argsort(-scores, kind="stable")[:_BEST_SOURCES]
        strength = (scores[best] / scores[best[0]]) ** 3
        links = symbol_links(index_data, self.parameters)
        owner, file_index = postings.chunk_owner[best], postings.chunk_file[best]
        count = len(index_data.symbols.name)
        nodes = np.where(owner >= 0, index_data.symbols.start[file_index] + owner, count + file_index)
        reached = links.weighted(nodes, strength / np.sqrt(np.maximum(1, links.sizes[nodes])))
        by_file: Array = np.bincount(index_data.symbols.file_index, reached[:count], self.size).astype(
            np.float64
        )
        return by_file

    def path(self) -> Array:
        """Files by the words of their path. Shape (files,)."""
        params = self.parameters
        terms = self.prepared.files.saturated({"path": 1.0}, self._kin, params["path_k"], params["path_b"])
        return self.prepared.files.scores(terms, self._task_weights)

    def traceback(self) -> Array:
        """Files of the task's stack frames, inner frames first. Shape (files,)."""
        found = np.zeros(self.size)
        for depth, frame in enumerate(self.prepared.frames):
            for file_index, share in frame:
                found[file_index] = max(
                    found[file_index], self.parameters["traceback_decay"] ** depth * share
                )
        return found

    def tests(self) -> Array:
        """What the best matching tests import, at most 1; less where tests match less than sources do.

        Shape (files,).
        """
        scores = np.where(self.index_data.tests, self.words, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argsort(-scores, kind="stable")[:_BEST_TESTS]
        strength = (scores[best] / scores[best[0]]) ** self.parameters["test_sharpness"]
        found = scaled(_test_spread(self.index_data).weighted(best, strength), self.index_data.primary)
        source = float(self.words[self.index_data.primary].max()) if self.index_data.primary.any() else 0.0
        return found * min(1.0, float(scores[best[0]]) / source) ** 2 if source > 0 else found

    def test_names(self) -> Array:
        """Definers of the names that the best matching test functions use. Shape (files,)."""
        index_data = self.index_data
        scores = np.where(index_data.tests[index_data.postings.chunk_file], self.chunk_scores, 0.0)
        if not scores.any():
            return np.zeros(self.size)
        best = np.argpartition(-scores, min(_BEST_TEST_CHUNKS, len(scores) - 1))[:_BEST_TEST_CHUNKS]
        strength = (scores[best] / scores[best].max()) ** (0.5 * self.parameters["test_sharpness"])
        columns, rows, _ = index_data.test_words.select(best)
        matrix = index_data.definers_by_token
        definers = np.maximum(1, matrix.indptr[columns + 1] - matrix.indptr[columns])
        # A common name says less of each definer (1/n), and less at all (1/√n).
        weight = strength[rows] * index_data.rarity[columns] / definers**1.5
        tokens, which = numbered(columns)
        return matrix.weighted(tokens, np.bincount(which, weight, len(tokens)).astype(np.float64))

    def imported(self, base: Array) -> Array:
        """What the files leading so far import. In and out of shape (files,)."""
        lead = np.where(self.index_data.primary, base, 0.0)
        if lead.max() <= 0:
            return np.zeros(self.size)
        best = np.argsort(-lead, kind="stable")[:_BEST_SOURCES]
        strength = (lead[best] / lead[best[0]]) ** 3
        return _source_spread(self.index_data).weighted(best, strength)


def scaled(values: Array, primary: NDArray[np.bool_]) -> Array:
    """Divided by the largest value of a primary file; others are held to 1. In and out of shape (files,)."""
    highest = float(values[primary].max()) if primary.any() else 0.0
    return np.minimum(values / highest, 1.0) if highest > 0 else np.zeros(len(values))


def similar_commits(prepared: PreparedTask, parameters: Parameters) -> Array:
    """Files of past commits like the task; kept while the query's weights stay the same. Shape (files,)."""
    if prepared.commit_index is None:
        return np.zeros(len(prepared.index_data.paths))
    key = tuple(value for name, value in parameters.items() if name.startswith("query_"))
    if key not in prepared.memory:
        prepared.memory.clear()
        prepared.memory[key] = prepared.commit_index.similar_commits(
            prepared.query, parameters, prepared.task.time
        )
    return prepared.memory[key]


def cochange(prepared: PreparedTask) -> Array:
    """What used to change together with chat files and with named files. Shape (files,)."""
    anchors = distinct(np.concatenate([prepared.chat, np.flatnonzero(prepared.named > 0.5)])).astype(np.intp)
    if prepared.commit_index is None or not len(anchors):
        return np.zeros(len(prepared.index_data.paths))
    return prepared.commit_index.cochange(anchors, prepared.task.time)


def _spread(index_data: IndexData, readers: NDArray[np.bool_] | None) -> CsrMatrix:
    """Imports, divided by the root of the importer's imports and the log of the target's importers."""
    links = index_data.imports
    source = links.row_of_entry
    outgoing = np.maximum(links.sizes, 1)
    counted = links.indices if readers is None else links.indices[readers[source]]
    incoming = np.bincount(counted, minlength=links.across)
    data = links.data / (np.sqrt(outgoing)[source] * np.log(2.0 + incoming)[links.indices])
    return CsrMatrix(data, links.indices, links.indptr, links.across)


def _test_spread(index_data: IndexData) -> CsrMatrix:
    found: CsrMatrix = index_data.cached("test_spread", lambda: _spread(index_data, index_data.tests))
    return found


def _source_spread(index_data: IndexData) -> CsrMatrix:
    found: CsrMatrix = index_data.cached("source_spread", lambda: _spread(index_data, None))
    return found


def symbol_links(index_data: IndexData, parameters: Parameters) -> CsrMatrix:
    """Nodes x nodes by the shadow pass, divided by the log of how many refer to the target.

    Shape (nodes, nodes).
    """
    strategy = tuple(value for name, value in parameters.items() if name.startswith("shadow_"))

    def build() -> CsrMatrix:
        candidates = index_data.candidates
        _, weight = resolve(candidates, parameters, "shadow")
        size = len(index_data.symbols.name) + len(index_data.paths)
        links = csr_matrix(candidates.source, candidates.target, np.minimum(weight, 1.0), (size, size))
        data = np.minimum(links.data, 1.0)
        incoming = np.bincount(links.indices, data > 0.1, size)
        return CsrMatrix(data / np.log(2.0 + incoming[links.indices]), links.indices, links.indptr, size)

    found: CsrMatrix = index_data.cached(("symbol_links", strategy), build)
    return found


def file_graph(index_data: IndexData, parameters: Parameters) -> "Graph":
    """Files linked by the final pass over their references, and by imports."""
    strategy = tuple(value for name, value in parameters.items() if name.startswith("final_"))

    def build() -> "Graph":
        from hal9.passing import Graph  # noqa: PLC0415 - a query with a task needs no graph

        candidates, symbols = index_data.candidates, index_data.symbols
        _, weight = resolve(candidates, parameters, "final")
        source = index_data.file_of_node(candidates.source)
        target = symbols.file_index[candidates.target]
        other = source != target
        imports, size = index_data.imports, len(index_data.paths)
        joined = csr_matrix(
            np.concatenate([source[other], imports.row_of_entry]),
            np.concatenate([target[other], imports.indices]),
            np.concatenate([weight[other], imports.data]).astype(np.float64),
            (size, size),
        )
        live = joined.data > 1e-4
        return Graph(joined.row_of_entry[live], joined.indices[live], size, weight=joined.data[live])

    graph: Graph = index_data.cached(("file_graph", strategy), build)
    return graph


def importance(prepared: PreparedTask, parameters: Parameters) -> Array:
    """PageRank over files, scaled to at most 1 over primary files; hubs damped. Shape (files,)."""
    from hal9.passing import personalized_pagerank  # noqa: PLC0415 - a query with a task does without

    params, index_data = parameters, prepared.index_data
    if not len(index_data.paths):
        return np.zeros(0)
    names = (
        "pagerank_alpha",
        "depth_weight_root",
        "depth_weight_moderate",
        "depth_weight_deep",
        "depth_weight_vendor",
    )
    pull = params["pagerank_chat_multiplier"] if len(prepared.chat) else 0.0
    strategy = tuple(value for name, value in params.items() if name.startswith("final_"))
    key = ("pagerank", *(params[name] for name in names), tuple(prepared.chat), pull, strategy)

    def build() -> Array:
        depth = index_data.depth
        restart = np.where(
            depth <= 2,
            params["depth_weight_root"],
            np.where(depth <= 4, params["depth_weight_moderate"], params["depth_weight_deep"]),
        )
        restart = np.where(index_data.role(Role.VENDORED), params["depth_weight_vendor"], restart)
        restart[prepared.chat] *= params["pagerank_chat_multiplier"]
        graph = file_graph(index_data, params)
        return personalized_pagerank(graph, restart, alpha=params["pagerank_alpha"], tol=_TOLERANCE).scores

    rank: Array = index_data.cached(key, build)
    if params["hub_damping"] > 0:
        incoming = 1.0 + np.asarray(file_graph(index_data, params).in_degree, np.float64)
        rank = rank / incoming ** (0.5 * params["hub_damping"])
    return scaled(rank, index_data.primary)
