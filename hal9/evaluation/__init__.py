"""One's own tasks with checks, over models and neurons, with and without what was learned."""

from hal9.evaluation.report import Comparison, compare_runs, junit, last_run, save_run
from hal9.evaluation.running import Attempt, Cell, evaluate
from hal9.evaluation.suite import Suite, SuiteTask, load_suite

__all__ = [
    "Attempt",
    "Cell",
    "Comparison",
    "Suite",
    "SuiteTask",
    "compare_runs",
    "evaluate",
    "junit",
    "last_run",
    "load_suite",
    "save_run",
]
