"""From an error to a safer prompt and a better memory.

Detect (`detect`), propagate (`LearningEngine`), remember (patterns, mitigations), adjust within limits, gate by
measurement, and write every change into a ledger that can undo it.
"""

from hal9.learning.critic import Critic, Critique, cites, evidence_critique, key_line
from hal9.learning.detect import Detection, detect, detect_feedback, magnitude
from hal9.learning.engine import FeedbackReport, LearningEngine, Parts
from hal9.learning.feedback import Feedback, parse_feedback
from hal9.learning.ledger import Change, ChangeState, Ledger
from hal9.learning.lessons import Lesson, Lessons, ReplayCase
from hal9.learning.outcomes import TaskOutcome, scope_of_task
from hal9.learning.path import Hop, TaskPath
from hal9.learning.prompts import Canary, PromptBook, in_canary
from hal9.learning.propagate import check_origin, derive_id
from hal9.learning.quality import Ask, ChecksFirst, Score, Scorer
from hal9.learning.switches import Switches

__all__ = [
    "Ask",
    "Canary",
    "Change",
    "ChangeState",
    "ChecksFirst",
    "Critic",
    "Critique",
    "Detection",
    "Feedback",
    "FeedbackReport",
    "Hop",
    "LearningEngine",
    "Ledger",
    "Lesson",
    "Lessons",
    "Parts",
    "PromptBook",
    "ReplayCase",
    "Score",
    "Scorer",
    "Switches",
    "TaskOutcome",
    "TaskPath",
    "check_origin",
    "cites",
    "derive_id",
    "detect",
    "detect_feedback",
    "evidence_critique",
    "in_canary",
    "key_line",
    "magnitude",
    "parse_feedback",
    "scope_of_task",
]
