"""Roles from evidence: who imports a file, what it imports, its siblings, and what configuration names."""

from pathlib import Path

import pytest

from hal9.ripmap import Index, IndexSettings, Role, open_index, rank
from hal9.ripmap.files.declared import declared_role, declared_roles
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.parameters import Parameters

from .conftest import write_files

FILES = {
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["checks", "shop"]\n[tool.poetry]\npackages = [{include = "docs"}]\n',
    "shop/__init__.py": "from shop._task_spec import Task\n",
    "shop/_task_spec.py": "class Task:\n    def run(self):\n        return 1\n",
    "shop/cart.py": "from shop._task_spec import Task\n\n\ndef cart():\n    return Task()\n",
    "shop/order.py": "from shop._task_spec import Task\n\n\ndef order():\n    return Task()\n",
    "shop/fake_server.py": "import pytest\n\n\ndef serve_task():\n    return 1\n",
    "checks/test_cart.py": "from shop.cart import cart\nfrom shop.fake_server import serve_task\n\n\ndef test_cart():\n    assert cart()\n",
    "checks/goods.py": "def goods():\n    return []\n",
    "docs/build_pages.py": "def build_pages():\n    return 1\n",
}


@pytest.fixture
def tree(tmp_path: Path, settings: IndexSettings) -> Index:
    write_files(tmp_path / "tree", FILES)
    return open_index(tmp_path / "tree", settings)


def chance(index: Index, role: Role, path: str) -> float:
    return float(index_data_of(index).role_chances[role][index.file_index(path)])


def test_a_test_by_name_that_source_imports_is_source(tree: Index) -> None:
    assert tree.file("shop/_task_spec.py").roles & Role.TEST
    assert chance(tree, Role.TEST, "shop/_task_spec.py") < 0.3
    assert bool(index_data_of(tree).primary[tree.file_index("shop/_task_spec.py")])
    assert rank(tree, "the task does not run").paths[0] == "shop/_task_spec.py"


def test_a_server_that_only_tests_import_is_a_test(tree: Index) -> None:
    assert not tree.file("shop/fake_server.py").roles & Role.TEST
    assert chance(tree, Role.TEST, "shop/fake_server.py") > 0.5
    assert chance(tree, Role.TEST, "shop/cart.py") < 0.5


def test_what_nobody_doubts_stays_as_it_is(tree: Index) -> None:
    assert chance(tree, Role.TEST, "checks/test_cart.py") == 1.0
    assert chance(tree, Role.TEST, "shop/order.py") == 0.0


def test_in_a_test_library_its_own_name_is_no_sign(tmp_path: Path, settings: IndexSettings) -> None:
    files = {
        f"src/mock/part_{number}.py": f"from mockito.core import base\n\n\ndef part_{number}():\n    return base\n"
        for number in range(6)
    }
    write_files(tmp_path / "library", {**files, "src/mockito/core.py": "def base():\n    return 1\n"})
    index = open_index(tmp_path / "library", settings)
    assert bool(index_data_of(index).primary.all())
    assert {chance(index, Role.TEST, path) for path in files} == {0.0}


def test_configuration_names_tests_and_source(tree: Index) -> None:
    assert tree.file("checks/goods.py").roles & Role.TEST
    assert not tree.file("shop/cart.py").roles & Role.TEST
    assert not tree.file("docs/build_pages.py").roles & Role.DOCS


def test_what_configuration_says_is_read_again(tree: Index, tmp_path: Path, settings: IndexSettings) -> None:
    write_files(tmp_path / "tree", {"pyproject.toml": "[project]\nname = 'shop'\n"})
    again = open_index(tmp_path / "tree", settings)
    assert not again.file("checks/goods.py").roles & Role.TEST
    assert again.file("docs/build_pages.py").roles & Role.DOCS


def test_a_role_is_as_strong_as_its_language_says(tree: Index) -> None:
    file_index = tree.file_index("checks/test_cart.py")
    factors = [
        rank(tree, "cart", Parameters({"role_strength_python": value})).role_factor(file_index)
        for value in (0.5, 1.0, 2.0)
    ]
    assert factors == pytest.approx([0.3**0.5, 0.3, 0.3**2])
    assert rank(tree, "cart", Parameters({"role_strength_go": 4.0})).role_factor(file_index) == pytest.approx(
        0.3
    )


@pytest.mark.parametrize(
    ("manifest", "text", "path", "expected"),
    [
        ("Cargo.toml", '[[example]]\nname = "a"\npath = "show/a.rs"\n', "show/a.rs", Role.EXAMPLE),
        ("kit/Cargo.toml", '[[bench]]\nname = "a"\npath = "speed/a.rs"\n', "kit/speed/a.rs", Role.TEST),
        ("composer.json", '{"autoload": {"psr-4": {"A\\\\": "spec/"}}}', "spec/Line.php", Role.SOURCE),
        ("composer.json", '{"autoload-dev": {"psr-4": {"A\\\\": ["checks/"]}}}', "checks/A.php", Role.TEST),
        ("src/A.Facts/A.Facts.csproj", '<PackageReference Include="xunit" Version="2" />', "src/A.Facts/Help.cs", Role.TEST),
        ("setup.cfg", "[tool:pytest]\ntestpaths =\n    testing\n    more\n", "more/a.py", Role.TEST),
        ("pytest.ini", "[pytest]\ntestpaths = testing\n", "testing/a.py", Role.TEST),
        ("pom.xml", "<build><sourceDirectory>demo/java</sourceDirectory></build>", "demo/java/A.java", Role.SOURCE),
        ("package.json", '{"main": "demo/index.js"}', "demo/index.js", Role.SOURCE),
        ("package.json", '{"main": "../outside.js"}', "outside.js", None),
        ("pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = ['/etc', '*']\n", "etc/a.py", None),
        ("pyproject.toml", "[tool.pytest\n", "testing/a.py", None),
        ("package.json", "[" * 3000, "a.js", None),
    ],
)  # fmt: skip
def test_manifests_say_what_places_are_for(
    manifest: str, text: str, path: str, expected: Role | None
) -> None:
    found = declared_role(declared_roles({manifest: text}), path)
    assert (found[1] if found else None) == expected
