"""Runs one peer over saved data sets, in an environment of its own (see README.md).

    python peers.py METHOD SECONDS FILE.npz…

reads each file's array `x` and flag `discrete`, and prints one JSON line per file: `file` with the `matrix` [source,
target] (both entries set for an undirected edge) and the CPU `seconds`; or `over`, when it used more CPU time than
SECONDS; or `error`.
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


def boss(x, discrete):
    from causallearn.search.PermutationBased.BOSS import boss as run

    score = "local_score_BDeu" if discrete else "local_score_BIC"
    return _from_marks(run(x, score_func=score, verbose=False).graph)


def grasp(x, discrete):
    from causallearn.search.PermutationBased.GRaSP import grasp as run

    score = "local_score_BDeu" if discrete else "local_score_BIC"
    return _from_marks(run(x, score_func=score, verbose=False).graph)


def lingam(x, discrete):
    from lingam import DirectLiNGAM

    return (DirectLiNGAM().fit(x).adjacency_matrix_.T != 0).astype(int)


def pgmpy(x, discrete):
    import pandas as pd
    from pgmpy.estimators import HillClimbSearch

    # Its formulas take a name such as "6" for a number.
    frame = pd.DataFrame(x, columns=[f"v{k}" for k in range(x.shape[1])])
    if discrete:
        frame = frame.astype(int).astype(str).astype("category")
    method = "bdeu" if discrete else "bic-g"
    found = HillClimbSearch(frame).estimate(scoring_method=method, show_progress=False)
    matrix = np.zeros((x.shape[1],) * 2, dtype=int)
    for a, b in found.edges():
        matrix[int(a[1:]), int(b[1:])] = 1
    return matrix


class _TooLong(BaseException):
    """Not an Exception, so that no library's own handler swallows it."""


def _ring(signum, frame):
    raise _TooLong


def _fit(run, x, discrete, limit):
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        found = {"matrix": run(x, discrete).tolist()}
    except _TooLong:
        found = {"over": limit}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"[:200]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {**found, "seconds": time.process_time() - start}


def main():
    method, limit, files = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    run = {
        "dagma": dagma,
        "notears": notears,
        "ges": ges,
        "pc": pc,
        "boss": boss,
        "grasp": grasp,
        "lingam": lingam,
        "pgmpy": pgmpy,
    }[method]
    signal.signal(signal.SIGPROF, _ring)
    # The libraries print progress; the results have the real standard output to themselves.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # What a first fit spends on imports and compilation is not the method's time.
    _fit(run, np.random.default_rng(0).integers(0, 2, (50, 3)).astype(float), True, 60)
    for file in files:
        stored = np.load(file)
        found = _fit(run, stored["x"].astype(float), bool(stored["discrete"]), limit)
        print(json.dumps({"file": Path(file).stem, **found}), file=results, flush=True)


main()
