"""Scripted minds for learning: `scripted:tests.learning.scripts:NAME`."""

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
