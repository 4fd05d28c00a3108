"""Every code block of README and docs is true: Python and shell are run, data is read by what reads it."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hal9.cluster import Home, init_home
from tests.docs.blocks import LANGUAGES, NOT_RUN, ROOT, Block, blocks, commands, reason

ALL = list(blocks())
PROJECT = {
    "adder.py": "def add(a, b):\n    return a - b\n",
    "test_adder.py": "from adder import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
    "right.py": "def add(a, b):\n    return a + b\n",
    "table.csv": "age,pressure\n" + "".join(f"{40 + n % 31},{110 + n % 31 + n % 7}\n" for n in range(120)),
}


@dataclass
class Site:
    """A running cluster with a scripted mind, and a project."""

    home: Home
    folder: Path
    environment: dict[str, str]

    def shell(self, script: str, *, cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd, env=self.environment, input=given, capture_output=True, text=True, timeout=550,
        )  # fmt: skip

    def project(self, name: str) -> Path:
        """A fresh repository with a bug, a test and a table."""
        folder = self.folder / name / "project"
        if not folder.exists():
            folder.mkdir(parents=True)
            for path, text in PROJECT.items():
                (folder / path).write_text(text)
            git = 'git init -qb main && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm "first"'
            done = self.shell(git, cwd=folder)
            assert done.returncode == 0, done.stderr
        return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("docs")
    home = init_home(folder / "my-home")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HAL9_", "GIT_"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "HAL9_HOME": str(home.root),
        "HAL9_MODEL": "scripted:tests.support.scripts:adder",
        "BROWSER": "true",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip
    one = Site(home, folder, environment)
    up = one.shell("hal9 up --detach && hal9 token create docs --scope admin --json", cwd=folder)
    try:
        assert up.returncode == 0, up.stderr
        made = json.loads(up.stdout[up.stdout.index("{") :])
        # For those blocks that speak HTTP; commands go to the home.
        environment["TOKEN_OF_DOCS"] = made["token"]
        environment["URL_OF_DOCS"] = json.loads((home.state / "api.json").read_text())["url"]
        project = one.project("given")
        done = one.shell('hal9 submit --wait --workspace . --check "pytest -q" "Mend add"', cwd=project)
        assert done.returncode == 0, done.stdout + done.stderr
        yield one
    finally:
        one.shell("hal9 stop --force", cwd=folder)


def of(*languages: str) -> list[Any]:
    return [pytest.param(one, id=str(one)) for one in ALL if one.language in languages]


def test_every_block_says_what_it_is() -> None:
    assert [str(one) for one in ALL if one.language not in LANGUAGES] == []
    assert len(ALL) > 50


def test_every_exception_is_still_one() -> None:
    lines = [line.strip() for one in ALL if one.language in ("sh", "console") for line in commands(one)]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []


@pytest.mark.parametrize("block", of("sh", "console"))
def test_commands_run(block: Block, site: Site) -> None:
    chosen = [line for line in commands(block) if not reason(line)]
    if not chosen:
        return  # each has its reason in NOT_RUN, which a test of its own keeps short
    script = "\n".join(chosen)
    if "$HAL9_URL" in script:
        script = f'HAL9_URL="$URL_OF_DOCS" HAL9_TOKEN="$TOKEN_OF_DOCS"\n{script}'
    folder = site.project(f"{Path(block.path).stem}-{block.line}")
    done = site.shell(script, cwd=folder, given="y\n")
    assert done.returncode == 0, f"{block}\n{script}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


# --- Python -----------------------------------------------------------------------------------------------

BEFORE = {
    "docs/holograph.md": """
        from hal9.minds import ScriptedMind
        mind = ScriptedMind(lambda _: "A causes B")
        rows = [{"timeout": n % 3 == 0, "words": n % 7, "failed": n % 3 == 0 or n % 17 == 0} for n in range(90)]
        """,
    "docs/promptgram.md": """
        from pathlib import Path
        schema = "One fenced block."
        path = Path("l2-implementer.md")
        path.write_text('+++\\nid = "l2-implementer"\\nversion = 1\\nlayer = 2\\n+++\\n\\n## Role\\n\\nYou code.\\n\\n## Heuristics\\n\\n- Read first.\\n')
        """,
    "docs/ripmap.md": """
        import os, pathlib
        pathlib.Path("path/to/repo").mkdir(parents=True)
        pathlib.Path("path/to/repo/adder.py").write_text("def add(a, b):\\n    return a + b\\n")
        """,
}
"""What the reader of a page brings along."""
AFTER = {
    "docs/api.md": """
        import os
        assert "add" in await ask(os.environ["URL_OF_DOCS"], os.environ["TOKEN_OF_DOCS"])
        """,
    "docs/workbench.md": """
        import pathlib
        pathlib.Path("workspace").mkdir()
        pathlib.Path("state").mkdir()
        await work(pathlib.Path("workspace"), pathlib.Path("state"))
        assert pathlib.Path("workspace/notes.txt").read_text() == "hello\\n"
        """,
}
"""Calls of what a page defines, and what must be so."""


@pytest.mark.parametrize("block", [one for one in of("python") if "passing/tutorial" not in one.id])
def test_python_runs(block: Block, site: Site, tmp_path: Path) -> None:
    """In a process of its own, in a folder with the project and the home's link; the tutorial has its own test."""
    shutil.copytree(site.project("given"), tmp_path / "project")
    (tmp_path / "my-home").symlink_to(site.home.root)
    before, after = (textwrap.dedent(one.get(block.path, "")) for one in (BEFORE, AFTER))
    (tmp_path / "page.py").write_text(before + block.text + after)
    code = (
        "import ast, asyncio, inspect, warnings\n"
        "warnings.simplefilter('error')\n"
        "import pathlib\n"
        "source = pathlib.Path('page.py').read_text()\n"
        "code = compile(source, 'page.py', 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)\n"
        "names = {'__name__': '__main__'}\n"
        "found = eval(code, names)\n"
        "if inspect.iscoroutine(found): asyncio.run(found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=site.environment, capture_output=True, text=True, timeout=550
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"


# --- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("yaml", "json", "markdown"))
def test_data_is_read_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    reader = READERS.get(block.path)
    assert reader is not None, f"{block}: say in READERS what reads it"
    reader(block, tmp_path)


def _settings(block: Block, _: Path) -> None:
    from hal9.settings import Settings

    Settings.model_validate(yaml.safe_load(block.text))


def _neuron(block: Block, folder: Path) -> None:
    from hal9.neurons import load_neurons

    (folder / "l2-implementer.md").write_text(block.text)
    for name in ("l3-designer", "l4-strategist"):
        shutil.copy(ROOT / "neurons" / f"{name}.md", folder)
    assert load_neurons(folder)["l2-implementer"].promptgram.dump()


def _variables(block: Block, folder: Path) -> None:
    from hal9.holograph.spec import load_problem

    pages = [one for one in ALL if one.path == block.path and one.language == "yaml"]
    for number, one in enumerate(pages):
        (folder / f"{number}.yaml").write_text(one.text)
    assert load_problem(folder / "0.yaml", folder / "1.yaml").names


def _preset(block: Block, folder: Path) -> None:
    from hal9.ripmap.ranking.presets import load_preset

    (folder / "mine.json").write_text(block.text)
    assert load_preset(str(folder / "mine.json"), folder).heuristics


def _tuning(block: Block, folder: Path) -> None:
    from hal9.tuning.tasks import load_tasks

    (folder / "project").mkdir()
    found = yaml.safe_load(block.text)["tasks"]
    tasks = [*found, *({**found[0], "input": f"{n}"} for n in range(6))]  # six is the least
    (folder / "tasks.yaml").write_text(yaml.safe_dump({**yaml.safe_load(block.text), "tasks": tasks}))
    assert len(load_tasks(folder / "tasks.yaml")) == len(tasks)


def _guard(block: Block, _: Path) -> None:
    from hal9.learning.guards.guard_form import parse_guard

    assert parse_guard(block.text).say


def _json(block: Block, _: Path) -> None:
    assert json.loads(block.text)


def _suite(block: Block, folder: Path) -> None:
    from hal9.evaluation import load_suite

    (folder / "project").mkdir()
    (folder / "suite.yaml").write_text(block.text)
    assert len(load_suite(folder / "suite.yaml").tasks) == 2


READERS = {
    "docs/evaluation.md": _suite,
    "docs/neurons.md": lambda block, folder: (_neuron if block.language == "markdown" else _settings)(
        block, folder
    ),
    "docs/mcp.md": _settings,
    "docs/scale.md": _settings,
    "docs/promptgram.md": _neuron,
    "docs/holograph.md": _variables,
    "docs/ripmap-ranking.md": _preset,
    "docs/tuning.md": _tuning,
    "docs/learning.md": _guard,
    "docs/ripmap.md": _json,
}
