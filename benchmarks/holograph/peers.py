"""Runs one peer over saved data sets, in an environment of its own (see README.md).

    python peers.py METHOD FOLDER SECONDS

reads FOLDER/*.npz (array `x`, flag `discrete`) and writes FOLDER/METHOD.json: per data set the matrix
[source, target], both entries set for an undirected edge, and CPU seconds; null when it took longer than SECONDS.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np


def _from_marks(marks):
    """causal-learn's end marks: [j, i] = 1 and [i, j] = -1 is i→j; both -1 is undirected."""
    size = marks.shape[0]
    matrix = np.zeros((size, size), dtype=int)
    for i in range(size):
        for j in range(size):
            ends = (marks[i, j], marks[j, i])
            matrix[i, j] = ends in ((-1, 1), (-1, -1), (1, 1))
    return matrix


def dagma(x, discrete):
    from dagma.linear import DagmaLinear

    return (DagmaLinear(loss_type="l2").fit(x, lambda1=0.02) != 0).astype(int)


def notears(x, discrete):
    from castle.algorithms import Notears

    learner = Notears()
    learner.learn(x)
    return np.asarray(learner.causal_matrix).astype(int)


def ges(x, discrete):
    from causallearn.search.ScoreBased.GES import ges as run

    return _from_marks(run(x, score_func="local_score_BDeu" if discrete else "local_score_BIC")["G"].graph)


def pc(x, discrete):
    from causallearn.search.ConstraintBased.PC import pc as run

    return _from_marks(run(x, 0.05, "chisq" if discrete else "fisherz", show_progress=False).G.graph)


class _TooLong(Exception):
    pass


def _ring(signum, frame):
    raise _TooLong


def main():
    method, folder, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    run = {"dagma": dagma, "notears": notears, "ges": ges, "pc": pc}[method]
    signal.signal(signal.SIGALRM, _ring)
    results = {}
    for path in sorted(folder.glob("*.npz")):
        stored = np.load(path)
        start = time.process_time()
        signal.alarm(seconds)
        try:
            matrix = run(stored["x"].astype(float), bool(stored["discrete"]))
            results[path.stem] = {"matrix": matrix.tolist(), "seconds": time.process_time() - start}
        except _TooLong:
            results[path.stem] = None
        except Exception as error:
            results[path.stem] = {"error": f"{type(error).__name__}: {error}"[:200]}
        finally:
            signal.alarm(0)
        (folder / f"{method}.json").write_text(json.dumps(results))


main()
