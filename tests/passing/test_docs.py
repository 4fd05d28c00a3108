import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hal9.passing
from hal9.passing.__main__ import main
from hal9.passing.demos.demos import DEMOS

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "passing" / "tutorial.md"


def test_every_snippet_of_the_tutorial_runs() -> None:
    text = TUTORIAL.read_text()
    snippets = list(re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL))
    assert len(snippets) > 12
    names: dict[str, Any] = {}
    for found in snippets:
        # Blank lines in front make a traceback point at the line of the page.
        above = "\n" * text[: found.start(1)].count("\n")
        exec(compile(above + found[1], str(TUTORIAL), "exec"), names)


def test_every_picture_of_the_tutorial_exists_and_every_demo_is_shown() -> None:
    shown = set(re.findall(r"\]\(pictures/(\w+)\.png\)", TUTORIAL.read_text()))
    assert shown == set(DEMOS)
    for name in shown:
        assert (TUTORIAL.parent / "pictures" / f"{name}.png").is_file()


def test_the_public_face_lists_what_it_offers() -> None:
    for name in hal9.passing.__all__:
        assert getattr(hal9.passing, name).__doc__
    assert list(hal9.passing.__all__) == sorted(hal9.passing.__all__)


@pytest.mark.parametrize("name", [n for n in DEMOS if n not in ("bioelectric", "predictive", "gaussian")])
def test_demos_print_figures_and_draw(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "new" / "picture.png"
    assert main(["demo", name, "--picture", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{name}: ")
    assert len(printed) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bioelectric", "predictive", "gaussian"])
def test_longer_demos_print_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", name]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_wrong_uses_of_the_command_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "unheard-of"])
    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
    pytest.importorskip("matplotlib")
    assert main(["demo", "relevance", "--picture", str(tmp_path / "picture.unknown")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["demo", "relevance", "--picture", str(tmp_path / "file" / "picture.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert main(["demo", "relevance", "--picture", str(tmp_path / "picture.png")]) == 1
    assert "hal9-cluster[pictures]" in capsys.readouterr().err


def test_the_extras_that_errors_name_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"bayes", "pictures"} <= set(extras)
