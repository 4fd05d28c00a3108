"""Neurons defined in Python: the same settings as in front matter, and functions as tools.

A file `neurons/NAME.py` of a home defines them at its top level::

    from hal9 import Neuron, tool

    @tool
    def count_rows(table: str) -> int:
        \"\"\"How many rows a table has.\"\"\"

    sql = Neuron(name="l2-sql", layer=2, prompt="You write SQL.", tools=["read", count_rows])

Everything else is as for a Markdown file: it is routed to, learns, and is shown by the same commands. The
functions run in the process that hosts the neuron, outside of the sandbox: they are as trusted as it is.
"""

import asyncio
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, TypeVar, get_type_hints, overload

from pydantic import ConfigDict, Field, ValidationError
from pydantic.errors import PydanticUserError

from hal9.errors.base import Hal9Error
from hal9.errors.neurons import NeuronInvalid
from hal9.neurons.definitions.definition import NeuronDefinition, NeuronMeta, NeuronOptions, meta_problems
from hal9.promptgram import Promptgram
from hal9.tools.action import Action, tool_action
from hal9.tools.observation import Observation
from hal9.tools.schema import Permission, Tool, tool_of

__all__ = ["FunctionTool", "Neuron", "Workspace", "load_module", "tool"]

Workspace = NewType("Workspace", Path)
"""A tool's parameter of this type is the folder the turn works in; the model does not see it."""

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__hal9_tool__"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marked:
    name: str | None
    permission: Permission
    changes: bool


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, name: str | None = None, permission: Permission = "none", changes: bool = False
) -> Callable[[F], F]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    permission: Permission = "none",
    changes: bool = False,
) -> Any:
    """Say how a function is offered as a tool; plain functions are tools too, with the defaults.

    Its docstring tells the model what it does, its annotated parameters what it takes. It may be `async`.

    Args:
        function: the function, where it is used without arguments.
        name: how the model calls it (else by the function's name).
        permission: what the neuron's layer must be allowed (`read`, `write`, `run`) for it to be offered.
        changes: whether it changes files of the workspace, so that they can be put back.

    >>> @tool(permission="read")
    ... def shout(words: str) -> str:
    ...     "Say it loudly."
    ...     return words.upper()
    >>> shout("hello")
    'HELLO'
    """

    def mark(one: F) -> F:
        setattr(one, _MARK, _Marked(name=name, permission=permission, changes=changes))
        return one

    return mark if function is None else mark(function)


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that a neuron has as a tool."""

    function: Callable[..., Any]

    @property
    def marked(self) -> _Marked:
        """How it is offered."""
        usual = _Marked(name=None, permission="none", changes=False)
        return getattr(self.function, _MARK, usual)

    def bound(self, workspace: Path, *, seconds: float) -> Tool:
        """The tool of one turn.

        Raises:
            TypeError: a parameter has no annotation, or one that no JSON value can have.
        """
        hints = get_type_hints(self.function, include_extras=True)
        parameters = inspect.signature(self.function).parameters
        if plain := [name for name in parameters if name not in hints]:
            raise TypeError(f"parameter {plain[0]!r} of {self.function.__name__} has no annotation")
        filled = {name: workspace for name in parameters if hints[name] is Workspace}
        shown = {name: one for name, one in parameters.items() if name not in filled}

        async def run(**arguments: Any) -> Observation:
            return await _observed(self.function, {**arguments, **filled}, seconds=seconds)

        run.__name__ = self.marked.name or self.function.__name__
        run.__doc__ = self.function.__doc__
        run.__annotations__ = {name: hints[name] for name in shown} | {"return": Observation}
        run.__signature__ = inspect.Signature(list(shown.values()))  # type: ignore[attr-defined] # read by `inspect`

        def describe(arguments: Mapping[str, Any]) -> Action:
            return tool_action(run.__name__, arguments)

        marked = self.marked
        return tool_of(run, describe=describe, permission=marked.permission, changes=marked.changes)


async def _observed(
    function: Callable[..., Any], arguments: dict[str, Any], *, seconds: float
) -> Observation:
    """What a function returned, or why it could not; the model reads both."""
    try:
        async with asyncio.timeout(seconds):
            if inspect.iscoroutinefunction(function):
                value = await function(**arguments)
            else:
                value = await asyncio.to_thread(function, **arguments)
    except TimeoutError:
        return Observation(text=f"it did not end within {seconds:.0f} s", ok=False, summary="timeout")
    except Exception as error:  # noqa: BLE001 - the border: a user's function may raise anything
        return Observation(text=f"{type(error).__name__}: {error}", ok=False, summary=type(error).__name__)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return Observation(text=text)


class Neuron(NeuronOptions):
    """A neuron defined in code.

    Args:
        name: how it is called, such as ``l2-sql``.
        prompt: its role in plain words, or a whole prompt with ``## Role``, ``## Policy``, … sections.
        tools: functions of its own, and what it may do in a workspace (``read``, ``write``, ``run``).

    Raises:
        ValidationError: a value is out of range; names every one.

    >>> def double(number: int) -> int:
    ...     "Twice the number."
    ...     return 2 * number
    >>> neuron = Neuron(name="l2-maths", prompt="You calculate.", tools=["read", double])
    >>> neuron.layer, neuron.definition().promptgram.section("Role")
    (2, 'You calculate.')
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    prompt: Annotated[str, Field(min_length=1)]
    layer: Literal[4, 3, 2] = 2
    tools: tuple[Literal["read", "write", "run"] | Callable[..., Any], ...] = ()

    def definition(self, path: str = "code") -> NeuronDefinition:
        """It as what the cluster runs.

        Args:
            path: where it is defined, for messages.

        Raises:
            PromptgramError: its prompt is none.
            NeuronInvalid: a function cannot be a tool.
        """
        permissions = tuple(one for one in self.tools if isinstance(one, str))
        functions = tuple(FunctionTool(one) for one in self.tools if not isinstance(one, str))
        if functions and self.layer != 2:
            raise NeuronInvalid(path=path, problem=f"{self.name}: functions are tools of layer 2 only")
        values = self.model_dump(exclude={"name", "prompt", "tools"})
        if functions and self.mode == "auto":
            values["mode"] = "tools"  # without calls nobody would use them
        meta = NeuronMeta(**values, tools=permissions)
        front = {"id": self.name, "version": 1, **meta.model_dump(exclude_defaults=True), "layer": meta.layer}
        sections = self.prompt if "\n## " in f"\n{self.prompt}" else f"## Role\n\n{self.prompt.strip()}\n"
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in front.items())
        promptgram = Promptgram.parse(f"+++\n{lines}+++\n\n{sections}", source=path)
        made = NeuronDefinition(
            name=self.name, path=path, promptgram=promptgram, meta=meta, functions=functions
        )
        try:
            made.own_tools(Path())
        except (TypeError, NameError, PydanticUserError) as error:
            raise NeuronInvalid(path=path, problem=f"tool of {self.name}: {error}") from error
        return made


def load_module(path: Path) -> dict[str, NeuronDefinition]:
    """The neurons that a Python file defines at its top level, by name.

    Raises:
        NeuronInvalid: it cannot be run, or defines none.
        PromptgramError: a prompt is none.
    """
    title = f"hal9_neurons_{path.stem.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise NeuronInvalid(path=str(path), problem="is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        known = tuple(Neuron.model_fields)
        raise NeuronInvalid(path=str(path), problem=meta_problems(error, known)) from error
    except Hal9Error:
        raise
    except Exception as error:
        raise NeuronInvalid(
            path=str(path), problem=f"{type(error).__name__}: {error}{_line(error, path)}"
        ) from error
    found = [value for value in vars(module).values() if isinstance(value, Neuron)]
    if not found:
        raise NeuronInvalid(path=str(path), problem="defines no Neuron at its top level")
    return {one.name: one.definition(str(path)) for one in found}


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it happened."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""
