"""What neurons say to each other: one envelope, a closed set of payloads, one wire format.

A `Signal` travels forward (tasks down, results up), backward (error gradients) or laterally (the
promptgram population). `encode` and `decode` are the only way to and from bytes; `decode` refuses what a
receiver must not act on, each refusal a typed `SignalError` whose `reason` ends up in the dead-letter table.
"""

from hal9.signals.common_payloads import (
    CheckReport,
    ErrorDetail,
    FileChange,
    Grant,
    InlineFile,
    StepRecord,
    StopReason,
    Tally,
    TaskScope,
)
from hal9.signals.envelope import (
    MAX_HOPS,
    MAX_SIGNAL_BYTES,
    SCHEMA_VERSION,
    Signal,
    decode,
    encode,
)
from hal9.signals.error_types import (
    ERROR_TYPES,
    Adjustment,
    CommunicationError,
    ErrorContext,
    ErrorType,
    IncorrectOutput,
    LowQuality,
    ResourceExhausted,
    TaskFailed,
    TimedOut,
    ToolExecutionFailed,
    UserRejection,
)
from hal9.signals.identifiers import (
    new_id,
)
from hal9.signals.payloads import (
    AckPayload,
    CancelPayload,
    ErrorGradient,
    ForkPayload,
    MergePayload,
    MetricPayload,
    NeedPayload,
    Payload,
    ProgressPayload,
    ResultPayload,
    StatusPayload,
    SuggestionPayload,
    TaskPayload,
    VetoPayload,
)

__all__ = [
    "ERROR_TYPES",
    "MAX_HOPS",
    "MAX_SIGNAL_BYTES",
    "SCHEMA_VERSION",
    "AckPayload",
    "Adjustment",
    "CancelPayload",
    "CheckReport",
    "CommunicationError",
    "ErrorContext",
    "ErrorDetail",
    "ErrorGradient",
    "ErrorType",
    "FileChange",
    "ForkPayload",
    "Grant",
    "IncorrectOutput",
    "InlineFile",
    "LowQuality",
    "MergePayload",
    "MetricPayload",
    "NeedPayload",
    "Payload",
    "ProgressPayload",
    "ResourceExhausted",
    "ResultPayload",
    "Signal",
    "StatusPayload",
    "StepRecord",
    "StopReason",
    "SuggestionPayload",
    "Tally",
    "TaskFailed",
    "TaskPayload",
    "TaskScope",
    "TimedOut",
    "ToolExecutionFailed",
    "UserRejection",
    "VetoPayload",
    "decode",
    "encode",
    "new_id",
]
