"""Scripted minds for learning: `scripted:tests.learning.scripts:NAME`."""

import json

from hal9.minds.protocol import Request

RULE = "Dates are written DD.MM.YYYY"
RIGHT = """def {name}(day, month, year):
    return f"{{day:02d}}.{{month:02d}}.{{year:04d}}"
"""
WRONG = RIGHT.replace(".", "-").replace("02d", "02d")


def _name(request: Request) -> str:
    text = request.messages[-1].content
    return text.split("function ", 1)[1].split("(", 1)[0] if "function " in text else "f"


def obeys_rules(request: Request) -> str:
    """Writes ISO dates, unless the rule stands in the prompt right before the task."""
    name = _name(request)
    good = RULE in request.messages[-1].content
    template = RIGHT if good else 'def {name}(day, month, year):\n    return f"{{year}}-{{month}}-{{day}}"\n'
    return f"`dates.py`\n```python\n{template.format(name=name)}```\n"


def never_right(request: Request) -> str:
    """ISO dates whatever stands in the prompt; a new wording each time."""
    never_right.calls = getattr(never_right, "calls", 0) + 1  # type: ignore[attr-defined]
    name = _name(request)
    return (
        f"`dates.py`\n```python\ndef {name}(day, month, year):\n"
        f'    return f"{{year}}-{{month}}-{{day}}"  # {never_right.calls}\n```\n'  # type: ignore[attr-defined]
    )


SEEN: list[Request] = []
"""What `designs` was asked, for tests that run it in their own process."""


def designs(request: Request) -> str:
    """Plans with the edge case in mind only if its prompt says so; implements what the plan says."""
    SEEN.append(request)
    text = "\n".join(message.content for message in request.messages)
    if request.schema is not None:
        approach = "mind the edge case" if "Think of edge cases" in text or "mind the" in text else "plain"
        most = int(text.rsplit("Give between 1 and ", 1)[1].split(" ", 1)[0])
        titles = ["notes", "code"] if most > 1 else ["code"]
        parts = [{"title": title, "objective": f"write the {title}"} for title in titles]
        return json.dumps({"approach": approach, "parts": parts})
    if "write the notes" in request.messages[-1].content:
        return "`notes.md`\n```markdown\nto do\n```\n"
    if "Its parts were answered like this" in text:
        return "done"
    sign = "+" if "mind the edge case" in text else "-"
    return f"`adder.py`\n```python\ndef add(a, b):\n    return a {sign} b\n```\n"
