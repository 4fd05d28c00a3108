"""The documentation's table of server modes: `python -m tests.minds.mode_table` writes it."""

from collections.abc import Sequence
from pathlib import Path

from tests.minds.fake_openai.mode import Mode

__all__ = ["END", "START", "table"]

START = "<!-- modes: python -m tests.minds.mode_table -->"
END = "<!-- end of modes -->"


def table(modes: Sequence[Mode]) -> str:
    """The table; its last column says where litellm fails on what HAL9's own wire reads."""
    rows = [f"| {mode.server} | {mode.hal9} | {_through_litellm(mode)} |" for mode in modes]
    return "\n".join(["| A server … | HAL9 … | through litellm |", "|---|---|---|", *rows])


def _through_litellm(mode: Mode) -> str:
    reads_it = not isinstance(mode.expect, (type, tuple))
    if reads_it and isinstance(mode.litellm, (type, tuple)):
        return "litellm cannot read it: failed, retried"
    if reads_it and mode.litellm is not None:
        return "as litellm passes it on"
    if mode.litellm is not None:
        return "an error too, as litellm types it"
    return "the same"


def main() -> None:
    """Write the table between its marks."""
    from tests.minds.test_modes import MODES

    page = Path(__file__).parents[2] / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(START, 1)
    _old, tail = rest.split(END, 1)
    page.write_text(f"{head}{START}\n{table(MODES)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
