"""From an error to a safer prompt and a better memory.

Detect (`detect`), propagate (`LearningEngine`), remember (patterns, mitigations), adjust within limits, gate
by measurement, and write every change into a ledger that can undo it.
"""

from hal9.learning.adjust import Adjuster, Proposal, Refusal, allowed_share, suggestions
from hal9.learning.archive import ArchiveReport, export_archive, home_key, import_archive
from hal9.learning.critic import Critic, Critique, cites, evidence_critique, key_line
from hal9.learning.desk import Desk
from hal9.learning.detect import Detection, detect, detect_feedback, magnitude
from hal9.learning.engine import FeedbackReport, LearningEngine, Parts
from hal9.learning.explain import change_as_json, explain
from hal9.learning.feedback import Feedback, parse_feedback
from hal9.learning.gate import CHANGES, Gate, mcnemar_worse
from hal9.learning.ledger import Change, ChangeState, Ledger
from hal9.learning.lessons import Lesson, Lessons
from hal9.learning.outcomes import TaskOutcome, scope_of_task
from hal9.learning.path import Hop, TaskPath
from hal9.learning.prompts import Canary, PromptBook, in_canary
from hal9.learning.propagate import check_origin, derive_id
from hal9.learning.quality import Ask, ChecksFirst, Score, Scorer
from hal9.learning.replaying import ReplayCase
from hal9.learning.rollback import Rollback, Undone, state_document
from hal9.learning.stability import Stability, flips
from hal9.learning.status import learning_status, versions
from hal9.learning.switches import Switches

__all__ = [
    "CHANGES",
    "Adjuster",
    "ArchiveReport",
    "Ask",
    "Canary",
    "Change",
    "ChangeState",
    "ChecksFirst",
    "Critic",
    "Critique",
    "Desk",
    "Detection",
    "Feedback",
    "FeedbackReport",
    "Gate",
    "Hop",
    "LearningEngine",
    "Ledger",
    "Lesson",
    "Lessons",
    "Parts",
    "PromptBook",
    "Proposal",
    "Refusal",
    "ReplayCase",
    "Rollback",
    "Score",
    "Scorer",
    "Stability",
    "Switches",
    "TaskOutcome",
    "TaskPath",
    "Undone",
    "allowed_share",
    "change_as_json",
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
