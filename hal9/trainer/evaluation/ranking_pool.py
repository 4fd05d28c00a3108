"""Who ranks the cases of an evaluation: forked processes of this machine, or whatever else offers the same.

Cases are dealt to workers that keep their share for the whole run, so that every worker also keeps the
signals which a change left alone (see `cached_scorer`).
"""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from hal9.errors.trainer import EvaluationFailed
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.cached_scorer import CachedScorer

__all__ = ["ForkedPool", "RankingPool", "Ranks"]

Ranks = dict[str, int]
"""Path to 0-based rank of each wanted file of one case."""


class RankingPool(Protocol):
    """Ranks all cases of an evaluation, in their order."""

    def ranks(self, parameters: Parameters) -> list[Ranks]:
        """Rank every case.

        Raises:
            EvaluationFailed: the workers cannot do it.
        """
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class ForkedPool:
    """Forked processes; where forking is impossible, or with one worker, this process does it all.

    Args:
        cases: what is ranked; forked with all they have remembered.
        workers: how many rank, this process included.
    """

    def __init__(self, cases: Sequence[CachedScorer], workers: int) -> None:
        self._cases = cases
        self._workers = workers
        self._crew: list[tuple[BaseProcess, Connection]] = []

    def ranks(self, parameters: Parameters) -> list[Ranks]:
        crew = self._started()
        if not crew:
            return [case.ranks(parameters) for case in self._cases]
        lanes = len(crew) + 1
        try:
            for _, connection in crew:
                connection.send(parameters.changes())
            found: list[Ranks] = [{}] * len(self._cases)
            found[::lanes] = [case.ranks(parameters) for case in self._cases[::lanes]]
            for lane, (_, connection) in enumerate(crew, 1):
                found[lane::lanes] = connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise EvaluationFailed(detail="a worker process ended unexpectedly") from error
        return found

    def close(self) -> None:
        for process, connection in self._crew:
            connection.close()
            process.join(timeout=5.0)
            if process.is_alive():
                process.kill()
                process.join()
        self._crew = []

    def _started(self) -> list[tuple[BaseProcess, Connection]]:
        """Fork the crew at the first evaluation."""
        wanted = min(self._workers, len(self._cases)) - 1
        if wanted < 1 or self._crew or "fork" not in multiprocessing.get_all_start_methods():
            return self._crew
        context: Any = multiprocessing.get_context("fork")
        for lane in range(1, wanted + 1):
            ours, theirs = context.Pipe()
            others = [connection for _, connection in self._crew]
            process = context.Process(
                target=_serve,
                args=(theirs, [ours, *others], self._cases[lane :: wanted + 1]),
                daemon=True,
                name=f"ranking worker {lane}",
            )
            process.start()
            theirs.close()
            self._crew.append((process, ours))
        return self._crew


def _serve(connection: Connection, inherited: list[Connection], cases: Sequence[CachedScorer]) -> None:
    """A worker: parameters in, ranks out, until the other end closes."""
    for other in inherited:
        # Inherited ends would keep the pipes open after the parent is gone.
        other.close()
    while True:
        try:
            changes = connection.recv()
            connection.send([case.ranks(Parameters(changes)) for case in cases])
        except (EOFError, OSError, KeyboardInterrupt):
            return
