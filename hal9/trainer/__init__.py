"""The ranker's trainer: minds read ranking failures and propose steps; a second level improves their prompt.

`train_with_mind` and `train_with_strategy` run the inner loop (L1) and its numerical baselines on the real
ranker; `train_outer` evolves the promptgram that steers L1; `run_workload` is what a cluster calls.
Submodules load when their names are first used, so importing this room is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hal9.trainer.corpus import Corpus, history_corpus, localization_corpus
    from hal9.trainer.distill import distill
    from hal9.trainer.evaluator import Evaluation, Gain, TrainingEvaluator, paired_gain
    from hal9.trainer.inner import InnerLoop, InnerResult, InnerSettings
    from hal9.trainer.outer_session import OuterOptions, train_outer
    from hal9.trainer.promptgrams import PromptShelf
    from hal9.trainer.scratchpad import Scratchpad
    from hal9.trainer.session import TrainOptions, train_with_mind, train_with_strategy
    from hal9.trainer.space import Space, liveness, space_of
    from hal9.trainer.workload import run_workload

_HOMES = {
    "corpus": ("Corpus", "history_corpus", "localization_corpus"),
    "distill": ("distill",),
    "evaluator": ("Evaluation", "Gain", "TrainingEvaluator", "paired_gain"),
    "inner": ("InnerLoop", "InnerResult", "InnerSettings"),
    "outer_session": ("OuterOptions", "train_outer"),
    "promptgrams": ("PromptShelf",),
    "scratchpad": ("Scratchpad",),
    "session": ("TrainOptions", "train_with_mind", "train_with_strategy"),
    "space": ("Space", "liveness", "space_of"),
    "workload": ("run_workload",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Corpus",
    "Evaluation",
    "Gain",
    "InnerLoop",
    "InnerResult",
    "InnerSettings",
    "OuterOptions",
    "PromptShelf",
    "Scratchpad",
    "Space",
    "TrainOptions",
    "TrainingEvaluator",
    "distill",
    "history_corpus",
    "liveness",
    "localization_corpus",
    "paired_gain",
    "run_workload",
    "space_of",
    "train_outer",
    "train_with_mind",
    "train_with_strategy",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
