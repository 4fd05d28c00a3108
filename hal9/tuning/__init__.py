"""Tuning a neuron's prompt on one's own tasks: reflect, edit, measure, judge on held-out tasks."""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.tuning.attempts import Answer, Answerer, Attempt, MindAnswerer
    from hal9.tuning.judging import HeldOut
    from hal9.tuning.promotion import Promotion, promote
    from hal9.tuning.router import SpecialistRouter
    from hal9.tuning.scoring import AnswerScorer, Scored, Scorer
    from hal9.tuning.session import TuneResult, TuningRoles, compose_task, run_tuning, tune
    from hal9.tuning.story import SearchResult, SearchStep, TuneSettings
    from hal9.tuning.tasks import TaskSplit, TuningTask, load_tasks, split_tasks

__all__ = [
    "Answer",
    "AnswerScorer",
    "Answerer",
    "Attempt",
    "HeldOut",
    "MindAnswerer",
    "Promotion",
    "Scored",
    "Scorer",
    "SearchResult",
    "SearchStep",
    "SpecialistRouter",
    "TaskSplit",
    "TuneResult",
    "TuneSettings",
    "TuningRoles",
    "TuningTask",
    "compose_task",
    "load_tasks",
    "promote",
    "run_tuning",
    "split_tasks",
    "tune",
]

_HOMES = {
    "attempts": ("Answer", "Answerer", "Attempt", "MindAnswerer"),
    "story": ("SearchResult", "SearchStep", "TuneSettings"),
    "judging": ("HeldOut",),
    "promotion": ("Promotion", "promote"),
    "router": ("SpecialistRouter",),
    "scoring": ("AnswerScorer", "Scored", "Scorer"),
    "session": ("TuneResult", "TuningRoles", "compose_task", "run_tuning", "tune"),
    "tasks": ("TaskSplit", "TuningTask", "load_tasks", "split_tasks"),
}

__getattr__ = lazy_names(__name__, _HOMES)
