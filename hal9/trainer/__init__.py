"""The ranker's trainer: minds read ranking failures and propose steps; a second level improves their prompt.

`train_with_mind` and `train_with_strategy` run the inner loop (L1) and its numerical baselines on the real
ranker; `train_outer` evolves the promptgram that steers L1; `open_ledger` shows a run's steps and edits as
changes that can be taken back; `run_workload` is what a cluster calls.
Submodules load when their names are first used, so importing this room is quick.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.trainer.distill import distill
    from hal9.trainer.evaluation.corpus import Corpus, history_corpus, localization_corpus
    from hal9.trainer.evaluation.evaluator import Evaluation, Gain, TrainingEvaluator, paired_gain
    from hal9.trainer.inner.loop import InnerLoop, InnerResult, InnerSettings
    from hal9.trainer.outer.promptgrams import PromptRegistry
    from hal9.trainer.outer_session import OuterOptions, train_outer
    from hal9.trainer.record.changes import RunLedger, open_ledger
    from hal9.trainer.record.run_log import RunLog
    from hal9.trainer.search.space import Space, liveness, space_of
    from hal9.trainer.session import TrainOptions, train_with_mind, train_with_strategy
    from hal9.trainer.workload import run_workload

_HOMES = {
    "record.changes": ("RunLedger", "open_ledger"),
    "evaluation.corpus": ("Corpus", "history_corpus", "localization_corpus"),
    "distill": ("distill",),
    "evaluation.evaluator": ("Evaluation", "Gain", "TrainingEvaluator", "paired_gain"),
    "inner.loop": ("InnerLoop", "InnerResult", "InnerSettings"),
    "outer_session": ("OuterOptions", "train_outer"),
    "outer.promptgrams": ("PromptRegistry",),
    "record.run_log": ("RunLog",),
    "session": ("TrainOptions", "train_with_mind", "train_with_strategy"),
    "search.space": ("Space", "liveness", "space_of"),
    "workload": ("run_workload",),
}

__all__ = [
    "Corpus",
    "Evaluation",
    "Gain",
    "InnerLoop",
    "InnerResult",
    "InnerSettings",
    "OuterOptions",
    "PromptRegistry",
    "RunLedger",
    "RunLog",
    "Space",
    "TrainOptions",
    "TrainingEvaluator",
    "distill",
    "history_corpus",
    "liveness",
    "localization_corpus",
    "open_ledger",
    "paired_gain",
    "run_workload",
    "space_of",
    "train_outer",
    "train_with_mind",
    "train_with_strategy",
]

__getattr__ = lazy_names(__name__, _HOMES)
