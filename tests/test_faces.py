"""Each room's `__init__` is its public face: what it lists exists, is listed once, and the links of the map hold."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import hal9

ROOT = Path(hal9.__file__).parent
ROOMS = sorted(module.name for module in pkgutil.iter_modules([str(ROOT)]) if module.ispkg)
DOCS = ROOT.parent / "docs"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_offers_what_it_lists(room: str) -> None:
    face = importlib.import_module(f"hal9.{room}")
    assert face.__doc__, f"hal9.{room} does not say what it is"
    listed = list(getattr(face, "__all__", ()))
    assert len(listed) == len(set(listed))
    missing = [name for name in listed if not hasattr(face, name)]
    assert not missing


@pytest.mark.parametrize(
    "page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.relative_to(DOCS).as_posix()
)
def test_links_of_the_docs_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [one for one in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) if "://" not in one]
    gone = [one for one in targets if not (page.parent / one).exists()]
    assert not gone


def test_no_folder_is_crowded() -> None:
    """Twenty modules at most; the errors stand one a room."""
    counts = {
        folder.relative_to(ROOT).as_posix(): len(list(folder.glob("*.py")))
        for folder in (
            ROOT,
            *(path for path in ROOT.rglob("*") if path.is_dir() and "__pycache__" not in path.parts),
        )
    }
    assert {name: count for name, count in counts.items() if count > 20 and name != "errors"} == {}
