"""From an error to a safer prompt and a better memory.

Detect (`detect`), propagate (`LearningEngine`), remember (patterns, rules), adjust within limits, gate
by measurement, and write every change into a ledger that can undo it.
"""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.learning.archive import ArchiveReport, export_archive, home_key, import_archive
    from hal9.learning.detection.detect import Detection, detect, detect_feedback, magnitude
    from hal9.learning.detection.error_line import key_line
    from hal9.learning.detection.feedback import Feedback, parse_feedback
    from hal9.learning.detection.outcomes import TaskOutcome, scope_of_task
    from hal9.learning.detection.quality import Ask, ChecksFirst, Score, Scorer
    from hal9.learning.engine import EngineDependencies, FeedbackReport, LearningEngine
    from hal9.learning.gate.adjust import Adjuster, Proposal, Refusal, allowed_share, suggestions
    from hal9.learning.gate.gate import CHANGES, Gate, mcnemar_worse
    from hal9.learning.gate.rollback import Rollback, Undone, state_document
    from hal9.learning.gradients.critic import Critic, Critique, cites, evidence_critique
    from hal9.learning.gradients.propagate import check_origin, derive_id
    from hal9.learning.guards.advisor import ActionAdvisor
    from hal9.learning.guards.learned_gate import LearnedGate
    from hal9.learning.operations import LearningOperations
    from hal9.learning.replay_cases import ReplayCase
    from hal9.learning.reporting.explain import change_as_json, explain
    from hal9.learning.reporting.status import learning_status, versions
    from hal9.learning.rules.rules import RuleLearner, RuleOutcome
    from hal9.learning.state.key_value import KeyValueStore
    from hal9.learning.state.ledger import Change, ChangeState, Ledger
    from hal9.learning.state.prompts import Canary, PromptStore, in_canary
    from hal9.learning.state.stability import Stability, flips
    from hal9.learning.task_path import Hop, TaskPath

__all__ = [
    "CHANGES",
    "ActionAdvisor",
    "Adjuster",
    "ArchiveReport",
    "Ask",
    "Canary",
    "Change",
    "ChangeState",
    "ChecksFirst",
    "Critic",
    "Critique",
    "Detection",
    "EngineDependencies",
    "Feedback",
    "FeedbackReport",
    "Gate",
    "Hop",
    "KeyValueStore",
    "LearnedGate",
    "LearningEngine",
    "LearningOperations",
    "Ledger",
    "PromptStore",
    "Proposal",
    "Refusal",
    "ReplayCase",
    "Rollback",
    "RuleLearner",
    "RuleOutcome",
    "Score",
    "Scorer",
    "Stability",
    "TaskOutcome",
    "TaskPath",
    "Undone",
    "allowed_share",
    "change_as_json",
    "change_as_told",
    "check_origin",
    "cites",
    "derive_id",
    "detect",
    "detect_feedback",
    "evidence_critique",
    "explain",
    "export_archive",
    "flips",
    "home_key",
    "import_archive",
    "in_canary",
    "key_line",
    "learning_status",
    "magnitude",
    "mcnemar_worse",
    "parse_feedback",
    "scope_of_task",
    "state_document",
    "suggestions",
    "versions",
]

__getattr__ = lazy_names(
    __name__,
    {
        "archive": ("ArchiveReport", "export_archive", "home_key", "import_archive"),
        "detection.detect": ("Detection", "detect", "detect_feedback", "magnitude"),
        "detection.error_line": ("key_line",),
        "detection.feedback": ("Feedback", "parse_feedback"),
        "detection.outcomes": ("TaskOutcome", "scope_of_task"),
        "detection.quality": ("Ask", "ChecksFirst", "Score", "Scorer"),
        "engine": ("FeedbackReport", "LearningEngine", "EngineDependencies"),
        "gate.adjust": ("Adjuster", "Proposal", "Refusal", "allowed_share", "suggestions"),
        "gate.gate": ("CHANGES", "Gate", "mcnemar_worse"),
        "gate.rollback": ("Rollback", "Undone", "state_document"),
        "gradients.critic": ("Critic", "Critique", "cites", "evidence_critique"),
        "gradients.propagate": ("check_origin", "derive_id"),
        "guards.advisor": ("ActionAdvisor",),
        "guards.learned_gate": ("LearnedGate",),
        "operations": ("LearningOperations",),
        "replay_cases": ("ReplayCase",),
        "reporting.explain": ("change_as_json", "change_as_told", "explain"),
        "reporting.status": ("learning_status", "versions"),
        "rules.rules": ("RuleLearner", "RuleOutcome"),
        "state.key_value": ("KeyValueStore",),
        "state.ledger": ("Change", "ChangeState", "Ledger"),
        "state.prompts": ("Canary", "PromptStore", "in_canary"),
        "state.stability": ("Stability", "flips"),
        "task_path": ("Hop", "TaskPath"),
    },
)
