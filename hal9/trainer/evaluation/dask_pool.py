"""Ranking on the workers of a Dask cluster: batches of cases go out, ranks come back.

Every worker process reads the corpus itself, once. Data that a client scatters is lost with the worker
that holds it, and whatever used it is cancelled; a batch that only names its cases can be done again by any.
Workers may come and go: Dask gives a lost worker's batches to others, and with none left the run waits a
while for one to return.
"""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hal9.clock import Clock, SystemClock
from hal9.errors.trainer import EvaluationFailed, ExecutorInvalid, ExecutorMissing
from hal9.ripmap.evaluation.evaluation import PreparedCase
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.cached_scorer import CachedScorer
from hal9.trainer.evaluation.corpus import Queries, named_corpus
from hal9.trainer.evaluation.ranking_pool import Ranks

if TYPE_CHECKING:
    from distributed import Client, Future

    _Sent = tuple[Future[list[Ranks]], str | None]

__all__ = ["CaseSource", "DaskPool", "address_of", "cases_digest", "connect"]

_SCHEME = "dask:"
_PROTOCOLS = ("tcp://", "tls://", "ws://", "wss://")
_BATCHES_PER_WORKER = 4
_LOOK_SECONDS = 1.0
"""How often a run that waits looks whether there are workers."""
_RETRIES = 3
"""How often a batch may be begun anew on another worker."""


@dataclass(frozen=True, slots=True)
class CaseSource:
    """Where a worker finds the cases: the corpus by name, or the folder of a repository, and the split."""

    corpus: str
    queries: Queries
    split: str
    exact: bool = False


def address_of(executor: str) -> str | None:
    """The scheduler's address in `dask:tcp://HOST:PORT`; None for `local`.

    Raises:
        ExecutorInvalid: it is neither.
    """
    if executor == "local":
        return None
    address = executor.removeprefix(_SCHEME)
    if address == executor or not address.startswith(_PROTOCOLS):
        raise ExecutorInvalid(executor=executor)
    return address


def cases_digest(cases: Sequence[PreparedCase]) -> str:
    """Names the cases, the files they are ranked among, and this version of the ranker."""
    told = [version("hal9-cluster")]
    for one in cases:
        paths = "\0".join(one.evidence.index_data.paths)
        told.append(f"{one.case.id}\n{one.case.text}\n{sorted(one.case.gold.items())}\n{paths}")
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogatepass")).hexdigest()


def connect(address: str, *, patience: float = 60.0) -> "Client":
    """A client of a running cluster that has at least one worker.

    Args:
        address: of its scheduler.
        patience: seconds to wait for both.

    Raises:
        ExecutorMissing: dask.distributed is not installed.
        EvaluationFailed: no scheduler, or no worker, answers.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise ExecutorMissing from error
    client: Client | None = None
    try:
        client = Client(address, timeout=patience, set_as_default=False)  # type: ignore[no-untyped-call]
        client.wait_for_workers(1, timeout=patience)
    except (OSError, TimeoutError) as error:
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]
        raise EvaluationFailed(
            detail=f"no Dask scheduler with a worker answers at {address} ({error})",
            remedy="Start `dask scheduler` and `dask worker ADDRESS` there, or leave --executor out.",
        ) from error
    return client


class DaskPool:
    """Ranks on a running Dask cluster.

    Args:
        client: see `connect`; closed with the pool.
        source: where the workers find the cases.
        digest: of the cases, so that a worker with another corpus or version is refused.
        count: how many cases there are.
        patience: seconds to wait for a worker to come back when all are gone.
        clock: time.
    """

    def __init__(
        self,
        client: "Client",
        source: CaseSource,
        digest: str,
        count: int,
        *,
        patience: float = 120.0,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._digest = digest
        self._patience = patience
        self._clock = clock or SystemClock()
        lanes = max(1, min(count, _BATCHES_PER_WORKER * len(self._workers())))
        self._batches = [tuple(range(lane, count, lanes)) for lane in range(lanes)]
        self._count = count

    def ranks(self, parameters: Parameters) -> list[Ranks]:
        changes = parameters.changes()
        sent = [self._send(number, changes) for number in range(len(self._batches))]
        found: list[Ranks] = [{}] * self._count
        try:
            for number, batch in enumerate(self._batches):
                for at, ranks in zip(batch, self._result(sent, number, changes), strict=True):
                    found[at] = ranks
        except BaseException:
            self._client.cancel([future for future, _ in sent])  # type: ignore[no-untyped-call]
            raise
        return found

    def _send(self, number: int, changes: Mapping[str, Any]) -> "_Sent":
        """The same batch goes to the same worker, which remembers its signals, while it is there."""
        workers = self._workers()
        worker = workers[number % len(workers)] if workers else None
        where = {"workers": [worker], "allow_other_workers": True} if worker else {}
        future = self._client.submit(
            rank_batch,
            self._source,
            self._digest,
            self._batches[number],
            changes,
            pure=False,
            retries=_RETRIES,
            **where,
        )
        return future, worker

    def _result(self, sent: "list[_Sent]", number: int, changes: Mapping[str, Any]) -> list[Ranks]:
        alone_since: float | None = None
        while True:
            future, worker = sent[number]
            try:
                return list(future.result(timeout=_LOOK_SECONDS))
            except TimeoutError:
                workers = self._workers()
            except EvaluationFailed:
                raise
            except Exception as error:
                raise EvaluationFailed(detail=f"a Dask worker could not rank: {error}") from error
            if workers:
                alone_since = None
                if worker not in workers:
                    # What was meant for a worker that is gone is not offered to one that comes later, when
                    # none was left in between (distributed 2026.8).
                    self._client.cancel([future])  # type: ignore[no-untyped-call]
                    sent[number] = self._send(number, changes)
                continue
            now = self._clock.monotonic()
            alone_since = now if alone_since is None else alone_since
            if now - alone_since > self._patience:
                raise EvaluationFailed(
                    detail=f"the Dask cluster had no worker for {self._patience:.0f} s",
                    remedy="Start one and go on with --resume.",
                )

    def _workers(self) -> list[str]:
        return sorted(self._client.scheduler_info(n_workers=-1)["workers"])

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]


# --- on the worker ------------------------------------------------------------------------------

_loaded: dict[CaseSource, tuple[str, list[CachedScorer]]] = {}
_loading = threading.Lock()


def rank_batch(
    source: CaseSource, digest: str, batch: Sequence[int], changes: Mapping[str, Any]
) -> list[Ranks]:
    """Rank some cases of a source; runs in a worker process, which keeps the corpus.

    Raises:
        EvaluationFailed: what this worker has is not what the run is measured on.
    """
    with _loading:
        if source not in _loaded:
            prepared = named_corpus(source.corpus, queries=source.queries).prepare(source.split)
            scorers = [CachedScorer(item, exact=source.exact) for item in prepared]
            _loaded[source] = cases_digest(prepared), scorers
        here, cases = _loaded[source]
        if here != digest:
            del _loaded[source]  # it may be mended before the next try
            raise EvaluationFailed(
                detail="a Dask worker has another corpus, repository state or version of HAL9",
                remedy="Bring the workers to the same state as this machine.",
            )
        parameters = Parameters(dict(changes))
        return [cases[at].ranks(parameters) for at in batch]
