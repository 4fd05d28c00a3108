"""From what the user said to a rule in literal words. Pure functions; no model takes part.

Small models write useless or copied rules (measured: 0 of 89 useful for the smallest), and a rule works
through its literal strings and the imports it names. So a rule is the user's own sentence plus what the
corrected answer has and the rejected one lacks.
"""

import ast
import re
from collections.abc import Iterator

from hal9.errors.memory import MemoryInvalid
from hal9.memory.records import ANY, MemoryScope
from hal9.text import clean_text

__all__ = ["code_of", "facts_of_correction", "template_rule"]

_ENDS = ".!?…。！？؟।"  # noqa: RUF001 - as the languages write them
_MAX_NOTE = 600
_MAX_FACTS = 5
_MAX_LITERAL = 60
_FENCE = re.compile(r"```[\w+-]*\n(.*?)```", re.DOTALL)
_SPACE = re.compile(r"\s+")
_FOLLOW_EXAMPLE = "Answer exactly in the form of the solved example."


def template_rule(
    *, scope: MemoryScope, note: str = "", task: str = "", corrected: str = "", rejected: str = ""
) -> str:
    """A rule from a rejection.

    Args:
        scope: what it will hold for; a module is named in the rule.
        note: the user's reason, kept in their words.
        task: the task; what it says already need not be said again.
        corrected: the right answer, if given.
        rejected: the answer that was wrong, if known.

    Raises:
        MemoryInvalid: there is neither a reason nor a corrected answer.
    """
    sentences = list[str]()
    words = _SPACE.sub(" ", clean_text(note)).strip()[:_MAX_NOTE].strip()
    if words:
        sentences.append(words if words[-1] in _ENDS else words + _full_stop(words[-1]))
    facts = facts_of_correction(corrected=corrected, rejected=rejected, known=f"{task}\n{words}")
    sentences.extend(facts)
    if not sentences and corrected.strip():
        sentences.append(_FOLLOW_EXAMPLE)
    if not sentences:
        raise MemoryInvalid(
            what="feedback", why="it has neither a reason nor a corrected answer to learn from"
        )
    rule = " ".join(sentences)
    module = scope.module
    if module and module != ANY and module.lower() not in rule.lower():
        rule = f"In module {module}: {rule}"
    return rule


def _full_stop(last: str) -> str:
    return "。" if "\u3040" <= last <= "\u9fff" else "."


def facts_of_correction(*, corrected: str, rejected: str = "", known: str = "") -> list[str]:
    """What a corrected Python answer has that the rejected answer and the known text lack.

    Imports, dotted calls, raised exceptions and literal strings, as at most five short sentences. Nothing for
    text that is not Python.
    """
    right, wrong = _parsed(corrected), _parsed(rejected)
    if right is None:
        return []
    before = set(_facts(wrong)) if wrong is not None else set()
    facts = list[str]()
    for kind, text in dict.fromkeys(_facts(right)):
        if (kind, text) in before or text in known:
            continue
        facts.append(
            {
                "import": f"It needs `{text}`.",
                "call": f"Call `{text}`.",
                "raise": f"Raise `{text}`.",
                "text": f"Use the literal text {text!r}.",
            }[kind]
        )
    return facts[:_MAX_FACTS]


def code_of(answer: str) -> str:
    """The code in an answer: its first fenced block, or all of it."""
    fenced = _FENCE.search(answer)
    return fenced.group(1) if fenced else answer


def _parsed(answer: str) -> ast.Module | None:
    code = code_of(answer)
    if not code.strip():
        return None
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _facts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield "import", ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name) and node.func.value.id in _imported(tree):
                yield "call", ast.unparse(node.func)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield "raise", ast.unparse(node.exc.func)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            if text and id(node) not in documentation and len(text) <= _MAX_LITERAL:
                yield "text", node.value


def _imported(tree: ast.Module) -> set[str]:
    return {
        (name.asname or name.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
