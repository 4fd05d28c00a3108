"""Write the tables of docs that are made from the code: `python scripts/reference.py`.

A test compares; a page that is not up to date fails.
"""

import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from hal9.neurons import NeuronMeta

PAGE = Path(__file__).parents[1] / "docs" / "neurons.md"
BEGIN, END = "<!-- made by scripts/reference.py -->", "<!-- end -->"


def kind(annotation: Any) -> str:
    """A type in a reader's words."""
    if get_origin(annotation) is tuple:
        return f"list of {kind(get_args(annotation)[0])}"
    if get_args(annotation):
        return ", ".join(f"`{one}`" for one in get_args(annotation))
    return {"str": "text", "int": "whole number", "float": "number"}[annotation.__name__]


def bounds(field: FieldInfo) -> str:
    """The least and the greatest value."""
    found = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(one, name)
    }
    words = {"ge": "from", "gt": "above", "le": "to"}
    return "".join(f" {words[name]} {value:g}" for name, value in found.items())


def table() -> str:
    """All keys of a neuron's front matter."""
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in NeuronMeta.model_fields.items():
        default = field.default
        shown = (
            "required"
            if field.is_required()
            else f"`{list(default) if isinstance(default, tuple) else default!r}`"
        )
        rows.append(
            f"| `{name}` | {kind(field.annotation)}{bounds(field)} | {shown} | {field.description} |".replace(
                "`''`", '`""`'
            )
        )
    return "\n".join(rows)


def made(text: str) -> str:
    """A page with its table as it has to be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
