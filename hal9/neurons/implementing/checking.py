"""Running a task's check within the task's time."""

from hal9.signals import CheckReport
from hal9.workbench import Workbench

__all__ = ["run_check"]


async def run_check(bench: Workbench, command: str, *, most_seconds: float | None) -> CheckReport:
    """Run the check; it is stopped when the workbench's limit or the task's time is reached.

    Raises:
        ActionNotPermitted, CommandsUnavailable.
    """
    limit = bench.settings.timeout_seconds
    seconds = limit if most_seconds is None else max(min(limit, most_seconds), 0.1)
    done = await bench.run(command, timeout_seconds=seconds)
    return CheckReport(
        command=command,
        passed=done.ok,
        exit_code=done.exit_code,
        output=done.output,
        seconds=done.seconds,
        timed_out=done.timed_out,
    )
