"""The command table, the way errors are shown, and the options every command shares.

Exit codes: 0 fine; 1 an error; 2 wrong usage or a task that was not accepted; 3 configuration; 4 broker;
5 language model; 6 a limit said no; 7 no such task; 8 the task itself failed; 130 interrupted.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9 import __version__
from hal9.cli.server import with_server_options

if TYPE_CHECKING:
    from hal9.errors.cluster import HomeUnwritable
    from hal9.errors.config import PathUnusable

__all__ = ["HERE", "TASK_FAILED", "LazyGroup", "cli", "main"]

TASK_FAILED = 8
_INTERRUPTED = 130

# name: (module, attribute, one line for the overview)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("hal9.cli.cluster.home", "init", "Write a fresh home: config/, neurons/, memory/."),
    "up": ("hal9.cli.cluster.daemon", "up", "Start the cluster."),
    "stop": ("hal9.cli.cluster.daemon", "stop", "Stop the cluster in order."),
    "status": ("hal9.cli.cluster.daemon", "status", "Show the cluster, its neurons and tasks."),
    "logs": ("hal9.cli.cluster.daemon", "logs", "Show the daemon's log."),
    "serve": ("hal9.cli.serving.serve", "serve", "Serve the API and the dashboard without a cluster."),
    "dashboard": ("hal9.cli.serving.serve", "dashboard_command", "Open the dashboard in a browser."),
    "token": ("hal9.cli.serving.serve", "token", "Say who may use the API, and for what."),
    "login": ("hal9.cli.server", "login", "Keep a server's URL and token for --profile."),
    "drain": ("hal9.cli.cluster.state", "drain", "Let one host of a cluster take up nothing new."),
    "state": ("hal9.cli.cluster.state", "state", "Move the state between SQLite and PostgreSQL."),
    "requests": (
        "hal9.cli.cluster.requests",
        "requests",
        "Show what was asked of it, and the answers.",
    ),
    "doctor": ("hal9.cli.cluster.doctor", "doctor", "Check everything a cluster needs; show dead letters."),
    "submit": ("hal9.cli.tasks.tasks", "submit", "Give the cluster a task."),
    "tasks": ("hal9.cli.tasks.tasks", "tasks", "List tasks."),
    "show": ("hal9.cli.tasks.tasks", "show", "Show one task."),
    "trace": ("hal9.cli.tasks.tasks", "trace", "Show a task's path with time, tokens and cost."),
    "watch": ("hal9.cli.tasks.tasks", "watch", "Follow a task, or the whole cluster, live."),
    "result": ("hal9.cli.tasks.tasks", "result", "Print a task's answer."),
    "diff": ("hal9.cli.tasks.changes", "diff", "Show what a task changed, or compare versions of a prompt."),
    "apply": ("hal9.cli.tasks.changes", "apply", "Carry over what a task changed, or commit it to a branch."),
    "patch": ("hal9.cli.tasks.changes", "patch", "Write what a task changed as a patch."),
    "cancel": ("hal9.cli.tasks.tasks", "cancel", "End a task."),
    "reply": ("hal9.cli.persons", "reply", "Go on with a task that is over."),
    "retry": ("hal9.cli.persons", "retry", "Do a task again, and say why."),
    "answer": ("hal9.cli.persons", "answer", "Answer a question, or allow an action."),
    "feedback": (
        "hal9.cli.learning.feedback",
        "feedback",
        "Say what you think of an answer; it learns.",
    ),
    "causes": ("hal9.cli.learning.causes", "causes", "Ask which factors cause failed tasks."),
    "why": ("hal9.cli.learning.feedback", "why", "Show why an answer came out so, and what was learned."),
    "rules": ("hal9.cli.learning.rules", "rules", "List the rules in force, change and withdraw them."),
    "remember": ("hal9.cli.learning.rules", "remember", "Give a rule in your own words."),
    "forget": ("hal9.cli.learning.rules", "forget", "Take a rule back."),
    "learn": ("hal9.cli.learning.runs", "learn", "Learn from runs of other agents."),
    "hook": ("hal9.cli.learning.hooks", "hook", "Answer one hook call of another agent."),
    "hooks": ("hal9.cli.learning.hooks", "hooks", "Let other agents ask this memory before they act."),
    "mcp": ("hal9.cli.learning.hooks", "mcp", "Serve the memory over MCP."),
    "patterns": ("hal9.cli.learning.memory", "patterns", "List recurring errors."),
    "memory": ("hal9.cli.learning.memory", "memory", "Search, check, export and import what was learned."),
    "weights": ("hal9.cli.learning.weights", "weights", "Show the connection weights between neurons."),
    "ledger": ("hal9.cli.learning.learning", "ledger", "Show every change of what was learned."),
    "rollback": ("hal9.cli.learning.learning", "rollback", "Undo a change, or everything since a moment."),
    "approvals": ("hal9.cli.learning.learning", "approvals", "Show what waits for a person."),
    "approve": ("hal9.cli.learning.learning", "approve", "Approve a change."),
    "deny": ("hal9.cli.learning.learning", "deny", "Refuse a change."),
    "tune": ("hal9.cli.learning.tune", "tune", "Make a neuron's prompt better on your own tasks."),
    "eval": ("hal9.cli.learning.evaluation", "evaluation", "Run your own tasks over models and neurons."),
    "learning": ("hal9.cli.learning.learning", "learning", "See, stop and steer learning."),
    "setup": ("hal9.cli.learning.memory", "setup", "Fetch what learning works better with."),
    "neuron": ("hal9.cli.cluster.neuron", "neuron", "Run one neuron as a process of its own."),
    "model": ("hal9.cli.cluster.models", "model", "List, pull and find local models."),
    "config": ("hal9.cli.cluster.home", "config", "Check or show the settings."),
    "completion": ("hal9.cli.completion", "completion", "Print shell completion for bash, zsh or fish."),
}


HERE = frozenset(
    [
        *(
            "init",
            "up",
            "stop",
            "logs",
            "serve",
            "dashboard",
            "token",
            "login",
            "doctor",
            "setup",
            "neuron",
            "model",
        ),
        *("config", "causes", "completion", "eval"),
        *("learn", "hook", "hooks", "mcp"),
    ]
)
"""Commands that work on the machine that has the home; all others also through --url."""

OLD_WORDS = {"lessons": "rules", "mitigations": "rules", "learnings": "rules"}
"""What commands were called before there was one word; they answer with the new one."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` is quick."""

    table: dict[str, tuple[str, str, str]] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry[0]), entry[1])
        return command if cmd_name in HERE else with_server_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.table is COMMANDS and args[0] in OLD_WORDS:
            click.echo(f"hal9: {args[0]!r} are called {OLD_WORDS[args[0]]!r} now", err=True)
            args = [OLD_WORDS[args[0]], *args[1:]]
        if args and args[0] not in self.table:
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in self.table.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home", type=click.Path(path_type=Path), help="The cluster's home (default: HAL9_HOME, or here)."
)
@click.option("--url", help="A cluster's server, in place of a home (or HAL9_URL).")
@click.option("--token", help="Token for it (or HAL9_TOKEN).")
@click.option("--profile", help="A server that `hal9 login` has kept (or HAL9_PROFILE).")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__, "--version", prog_name="hal9")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """HAL9: a cluster of language-model neurons that learns from its errors."""
    ctx.ensure_object(dict).update({name: value for name, value in given.items() if value is not None})


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with a documented exit code."""
    sys.exit(run(cli, arguments))


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command and turn every error into a sentence and an exit code."""
    try:
        value: Any = command.main(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except click.ClickException as error:
        told = _placed(error)
        told.show()
        return told.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing is wrong.
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where anything becomes a sentence
        return _explain(error, arguments)
    return value if isinstance(value, int) else 0


def _placed(error: click.ClickException) -> click.ClickException:
    """The error, which says where `--home` and `--debug` stand to whom puts them behind the command."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name, first = error.option_name, error.ctx.find_root()
    of_all = {option for parameter in first.command.params for option in parameter.opts}
    if first.command is not cli or error.ctx is first or name not in of_all:
        return error
    return click.UsageError(
        f"{name} stands before the command: `hal9 {name} … {error.ctx.info_name}`.", error.ctx
    )


def _named_path(error: OSError, given: list[str]) -> "PathUnusable | None":
    """What the system says of a path that was given on the command line, or of one in or above it."""
    from pathlib import Path

    from hal9.errors.config import PathUnusable

    if not isinstance(error.filename, str) or not error.strerror:
        return None
    found = Path(error.filename).absolute()
    for one in given:
        named = Path(one.rpartition("=")[2] if one.startswith("-") else one).expanduser().absolute()
        if found == named or (len(named.parts) > 1 and (named in found.parents or found in named.parents)):
            return PathUnusable(path=error.filename, detail=error.strerror)
    return None


def _unwritable_home(error: OSError) -> "HomeUnwritable | None":
    """A home's state that is read-only, full or somebody else's, wherever that is noticed."""
    import errno

    from hal9.errors.cluster import HomeUnwritable

    refused = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}
    if error.errno not in refused or not isinstance(error.filename, str):
        return None
    root, state, _ = f"{error.filename}/".partition("/.hal9/")
    return HomeUnwritable(home=root, detail=str(error)) if state else None


def _explain(error: Exception, arguments: list[str] | None) -> int:
    from hal9.errors.base import Hal9Error

    given = sys.argv[1:] if arguments is None else arguments
    if "--debug" in given:
        raise error
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    if isinstance(inner, Hal9Error):
        click.echo(f"hal9: {inner}", err=True)
        return inner.exit_code
    if isinstance(inner, TimeoutError):
        click.echo("hal9: no answer in time; the task goes on, `hal9 watch` follows it", err=True)
        return 1
    if isinstance(inner, OSError) and (unwritable := _unwritable_home(inner)) is not None:
        click.echo(f"hal9: {unwritable}", err=True)
        return unwritable.exit_code
    if isinstance(inner, OSError) and (named := _named_path(inner, given)) is not None:
        click.echo(f"hal9: {named}", err=True)
        return named.exit_code
    click.echo(
        f"hal9: unexpected {type(inner).__name__}: {inner}\nRun again as `hal9 --debug …` for the traceback.",
        err=True,
    )
    return 1
