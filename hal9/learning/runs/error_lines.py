"""The line of an output that names the error, and its signature. An exit code alone is no error."""

import re

from hal9.ingest import RunStep
from hal9.memory import signature

__all__ = ["error_line", "error_signature", "failed"]

_EXCEPTION = (
    r"(?:E\s+)?(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Failure)\b(?::.*)?"
)
_TOLD = (
    r"command not found|: not found$|No such file or directory|[Cc]annot \w+|can't \w+|fatal:"
    r"|[Ee]rror(?:\[\w+\])?:|No module named|Permission denied"
    r"|[Uu]nrecognized argument|[Uu]nknown option|[Ii]nvalid option|panicked at|undefined reference"
)
_LINE = re.compile(rf"^(?:{_EXCEPTION}|.*(?:{_TOLD}).*)$", re.MULTILINE)
# The last line of a traceback names its exception whatever it is called.
_TRACE_END = re.compile(r"^(?:[A-Za-z_]\w*\.)+[A-Z]\w*: .*$", re.MULTILINE)
_TRACE = "Traceback (most recent call last)"
_INSIDE = re.compile(r'^  File ".*", line \d+', re.MULTILINE)
_LOOK = 8_000


def failed(step: RunStep) -> bool:
    """Whether the step was run and ended with an exit code other than 0."""
    return step.executed and step.exit_code is not None and step.exit_code != 0


def error_line(step: RunStep) -> str:
    """The last line of a failed step's output that names an error, or ""."""
    if not failed(step):
        return ""
    output = step.output[-_LOOK:]
    found = _LINE.findall(output)
    line = str(found[-1]).strip() if found else ""
    if _TRACE in output or _INSIDE.search(output):
        ends = _TRACE_END.findall(output)
        if ends and (not line or output.rfind(ends[-1]) > output.rfind(line)):
            line = str(ends[-1]).strip()
    return line[:500]


def error_signature(line: str) -> str:
    """An error line without its numbers, paths and quoted values."""
    return signature(line.removeprefix("E ").strip())
