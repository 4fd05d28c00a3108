"""What a file is for: its name, its folders, and where those stand."""

from pathlib import Path

import pytest

from hal9.ripmap import IndexSettings, Role, open_index
from hal9.ripmap.files.languages import language_of
from hal9.ripmap.files.placement import placed_roles
from hal9.ripmap.files.roles import path_roles

from .conftest import write_files

TREES = {
    "rust": ["Cargo.toml", "crates/core/Cargo.toml", "crates/core/main.rs", "crates/core/flags/mod.rs", "crates/core/flags/doc/man.rs",
             "crates/core/flags/doc/mod.rs", "examples/grep.rs", "crates/core/examples/one.rs", "crates/core/benches/b.rs"],
    "java": ["pom.xml", "src/main/java/org/a/TypeSpec.java", "src/main/java/org/a/spec/Grammar.java",
             "src/main/java/org/a/demo/Sample.java", "src/test/java/org/a/TypeSpecTest.java", "src/test/java/org/a/FlowIT.java",
             "samples/shop/src/main/java/Shop.java"],
    "csharp": ["src/Lib/Lib.csproj", "src/Lib/OpenApiSpec.cs", "src/Lib/Wiki/Page.cs", "samples/Web/Web.csproj", "samples/Web/Program.cs",
               "test/Lib.Tests/PageTests.cs"],
    "python": ["pyproject.toml", "setup.py", "src/shop/__init__.py", "src/shop/doc/render.py", "src/shop/testing/client.py", "docs/conf.py",
               "doc/tools.py", "benchmarks/run.py", "src/shop/benchmarks/bench_cart.py", "src/shop/benchmarks/model.py",
               "src/shop/tests/helpers.py", "testing/test_cart.py", "testing/conftest.py"],
    "typescript": ["package.json", "packages/a/package.json", "packages/a/src/index.ts", "packages/a/src/docs/page.ts",
                   "packages/a/docs/site.ts", "packages/a/src/cart_spec.ts", "packages/a/e2e/cart.ts", "e2e/shop.ts", "demo/app.ts"],
    "ruby": ["shop.gemspec", "lib/shop.rb", "lib/shop/spec/reader.rb", "spec/shop_spec.rb", "spec/support/tools.rb"],
    "cpp": ["CMakeLists.txt", "src/cart.cc", "src/cart_unittest.cc", "doc/build.cc"],
    "swift": ["Podfile", "Pods/Other/Other.swift", "Shop/Pods/Model.swift", "Shop/Cart.swift"],
    "perl": ["lib/Shop.pm", "t/cart.t", "t/lib/Tools.pm"],
}  # fmt: skip
SOURCE = {
    "crates/core/main.rs", "crates/core/flags/mod.rs", "crates/core/flags/doc/man.rs", "crates/core/flags/doc/mod.rs",
    "src/main/java/org/a/TypeSpec.java", "src/main/java/org/a/spec/Grammar.java", "src/main/java/org/a/demo/Sample.java",
    "src/Lib/OpenApiSpec.cs", "src/Lib/Wiki/Page.cs", "src/shop/__init__.py", "src/shop/doc/render.py", "src/shop/testing/client.py",
    "src/shop/benchmarks/model.py", "packages/a/src/index.ts", "packages/a/src/docs/page.ts", "lib/shop.rb", "lib/shop/spec/reader.rb",
    "src/cart.cc", "Shop/Pods/Model.swift", "Shop/Cart.swift", "lib/Shop.pm", "setup.py", "shop.gemspec", "CMakeLists.txt", "crates/core/benches/b.rs",
}  # fmt: skip
ASIDE = Role.TEST | Role.DOCS | Role.EXAMPLE | Role.VENDORED


@pytest.mark.parametrize("name", sorted(TREES))
def test_folders_count_where_they_stand(name: str) -> None:
    paths = TREES[name]
    languages = [language_of(path) for path in paths]
    roles = placed_roles(
        paths,
        languages,
        [int(path_roles(path, language)) for path, language in zip(paths, languages, strict=True)],
    )
    source = {
        path for path, role in zip(paths, roles, strict=True) if role & Role.SOURCE and not role & ASIDE
    }
    assert source == SOURCE & set(paths)


def test_roles_follow_when_the_neighbours_change(tmp_path: Path, settings: IndexSettings) -> None:
    root = tmp_path / "tree"
    write_files(root, {"shop/doc/page.py": "def page():\n    return 1\n"})
    assert open_index(root, settings).file("shop/doc/page.py").roles & Role.DOCS
    write_files(root, {"shop/cart.py": "def cart():\n    return 1\n"})
    assert not open_index(root, settings).file("shop/doc/page.py").roles & Role.DOCS
    (root / "shop/cart.py").unlink()
    assert open_index(root, settings).file("shop/doc/page.py").roles & Role.DOCS
