"""All vectors of the present model in one contiguous float32 matrix, filled lazily from the rows.

The rows in SQLite are the truth. An epoch in the file, raised whenever a vector is replaced, deleted or
quarantined by any process, tells this cache to start again; rows that were only added are appended.
"""

import numpy as np
from numpy.typing import NDArray

from hal9.memory.store.store import MemoryStore

__all__ = ["VectorMatrix"]

_GATHER_BELOW = 0.25
"""Share of rows below which gathering them first is cheaper than multiplying everything."""


class VectorMatrix:
    """Nearest neighbours by cosine, exact. Safe to call from any thread.

    Args:
        store: an open store with an embedder.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._epoch = -1
        self._model = ""
        self._ids: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._rows: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def nearest(
        self, query: NDArray[np.float32], limit: int, *, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best `limit` memories.

        Args:
            query: unit vector of shape (dimension,).
            limit: how many.
            among: ids that may be returned, any order; None for all that are not quarantined.

        Returns:
            Ids and cosines, best first; equal cosines by id.
        """
        # The store's lock serves here too: a second one could be taken in the other order, for ever.
        with self._store.reading():
            self.refresh()
            ids, rows = self._ids[: self._used], self._rows[: self._used]
            if not len(ids):  # nothing has a vector: there is not even a width
                return ids, np.zeros(0, dtype=np.float32)
            if among is not None:
                keep = self._positions(ids, among)
                if len(keep) < _GATHER_BELOW * len(ids):
                    ids, scores = ids[keep], rows[keep] @ query
                else:
                    scores = (rows @ query)[keep]
                    ids = ids[keep]
            else:
                scores = rows @ query
        if len(ids) > limit:
            best = np.argpartition(-scores, limit - 1)[:limit]
            ids, scores = ids[best], scores[best]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def cosines(self, query: NDArray[np.float32], ids: NDArray[np.int64]) -> dict[int, float]:
        """Cosines of given memories; those without a vector are left out.

        `query` has shape (dimension,), `ids` (memories,).
        """
        with self._store.reading():
            self.refresh()
            held = self._ids[: self._used]
            keep = self._positions(held, ids)
            scores = self._rows[: self._used][keep] @ query if len(keep) else np.zeros(0, dtype=np.float32)
            return {int(one): float(score) for one, score in zip(held[keep], scores, strict=True)}

    @staticmethod
    def _positions(held: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(held) or not len(wanted):
            return np.zeros(0, dtype=np.int64)
        wanted = np.unique(wanted)
        at = np.searchsorted(held, wanted)
        at = np.minimum(at, len(held) - 1)
        return np.asarray(at[held[at] == wanted], dtype=np.int64)

    def refresh(self) -> None:
        """Take in what was written since; a no-op when nothing was."""
        embedder = self._store.embedder
        if embedder is None:
            return
        with self._store.reading() as connection:
            epoch = self._store.vector_epoch()
            if epoch != self._epoch or embedder.model_id != self._model:
                self._epoch, self._model, self._used = epoch, embedder.model_id, 0
            last = int(self._ids[self._used - 1]) if self._used else 0
            cursor = connection.execute(
                "SELECT id, embedding, embedding_dim FROM memories WHERE id > ? AND embedding_model = ? "
                "AND quarantined = 0 ORDER BY id",
                (last, self._model),
            )
            while batch := cursor.fetchmany(4096):
                dimension = self._rows.shape[1] if self._used else int(batch[0]["embedding_dim"])
                # A damaged vector must not stop all search; `audit` counts and names such rows.
                sound = [row for row in batch if len(row["embedding"]) == 4 * dimension]
                joined = b"".join(row["embedding"] for row in sound)
                block = np.frombuffer(joined, dtype="<f4").reshape(len(sound), dimension)
                finite = np.isfinite(block).all(axis=1)
                ids = np.asarray([row["id"] for row in sound], dtype=np.int64)
                self._append(ids[finite], block[finite])

    def _append(self, ids: NDArray[np.int64], block: NDArray[np.float32]) -> None:
        needed = self._used + len(ids)
        if self._rows.shape[1] != block.shape[1] or len(self._ids) < needed:
            grown = max(1024, 2 * len(self._ids), needed)
            rows = np.zeros((grown, block.shape[1]), dtype=np.float32)
            numbers = np.zeros(grown, dtype=np.int64)
            if self._used and self._rows.shape[1] == block.shape[1]:
                rows[: self._used] = self._rows[: self._used]
                numbers[: self._used] = self._ids[: self._used]
            self._rows, self._ids = rows, numbers
        self._rows[self._used : needed] = block
        self._ids[self._used : needed] = ids
        self._used = needed
