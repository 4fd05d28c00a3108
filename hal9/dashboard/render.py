"""Templates, the filters they use, and the headers every page carries."""

import json
import time
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from hal9.text import span_in_words, split_lines

__all__ = ["SECURITY", "page_response", "render"]

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else span_in_words(seconds)


def _ago(moment: float | None) -> Markup:
    """How long ago, with the exact time for those who point at it."""
    if moment is None:
        return Markup()
    exact = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    machine = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    text = f"{span_in_words(max(0.0, time.time() - moment))} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, exact, text)


def _number(value: float | None) -> str:
    """1234 as 1,234; 12345678 as 12.3M."""
    if value is None:
        return ""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if value >= 10 * size or (size == 1e6 and value >= size):
            return f"{value / size:.1f}{unit}"
    return f"{value:,.0f}"


def _money(value: float | None) -> str:
    if not value:
        return "$0"
    return f"${value:,.2f}" if value >= 0.01 else f"${value:.4f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}%"


def _one_line(text: str | None, limit: int = 120) -> str:
    words = " ".join((text or "").split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _diff(text: str) -> Markup:
    """A unified diff with its lines marked by kind."""
    lines = []
    for line in split_lines(text):
        kind = {"+": "add", "-": "del", "@": "at"}.get(line[:1], "")
        if line.startswith(("+++", "---")):
            kind = "at"
        lines.append(f'<span class="{kind}">{escape(line)}\n</span>' if kind else f"{escape(line)}\n")
    return Markup("".join(lines))  # noqa: S704 - every line was escaped above


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hal9.dashboard"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": _duration,
        "ago": _ago,
        "number": _number,
        "money": _money,
        "percent": _percent,
        "line": _one_line,
        "diff": _diff,
        "pretty": _pretty,
    }
    return environment


def render(template: str, **values: Any) -> str:
    """A template as text."""
    return _environment().get_template(template).render(**values)


def page_response(template: str, *, code: int = 200, **values: Any) -> Response:
    """A whole page."""
    return HTMLResponse(render(template, **values), code, SECURITY)
