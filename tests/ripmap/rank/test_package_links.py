"""Imports by the rules of each ecosystem, and tests beside what they test."""

from pathlib import Path

import pytest

from hal9.ripmap import open_index
from hal9.ripmap.index.index_data import index_data_of

from .conftest import settings, write_tree

TREES: dict[str, tuple[dict[str, str], dict[str, set[str]]]] = {
    "go": (
        {
            "go.mod": "module example.org/shop\n",
            "shop.go": "package shop\n\nfunc Open() {}\n",
            "cart/cart.go": 'package cart\n\nimport "example.org/shop/price"\n\nfunc Sum() { price.Of() }\n',
            "cart/lines.go": "package cart\n\nfunc Lines() {}\n",
            "cart/cart_test.go": "package cart\n\nfunc TestSum() { Sum() }\n",
            "price/price.go": 'package price\n\nimport "errors"\n\nfunc Of() {}\n',
            "errors/errors.go": "package errors\n",
            "cmd/main.go": 'package main\n\nimport (\n\t"example.org/shop"\n\t"example.org/shop/cart"\n)\n\nfunc main() { shop.Open(); cart.Sum() }\n',
        },
        {
            "cart/cart.go": {"price/price.go"},
            "price/price.go": set(),
            "cart/cart_test.go": {"cart/cart.go", "cart/lines.go"},
            "cmd/main.go": {"shop.go", "cart/cart.go", "cart/lines.go"},
        },
    ),
    "csharp": (
        {
            "src/Shop/Cart.cs": "using System.Linq;\nusing Shop.Pricing;\n\nnamespace Shop;\n\npublic class Cart {}\n",
            "src/Shop/Pricing/Price.cs": "namespace Shop.Pricing;\n\npublic class Price {}\n",
            "src/Shop/Linq/Query.cs": "namespace Shop.Linq;\n\npublic class Query {}\n",
            "tests/Shop.Tests/CartTests.cs": "namespace Shop.Tests;\n\npublic class CartTests {}\n",
        },
        {
            "src/Shop/Cart.cs": {"src/Shop/Pricing/Price.cs"},
            "tests/Shop.Tests/CartTests.cs": {"src/Shop/Cart.cs"},
        },
    ),
    "php": (
        {
            "composer.json": '{"autoload": {"psr-4": {"Acme\\\\Shop\\\\": "src/"}}}\n',
            "src/Cart/Cart.php": "<?php\nnamespace Acme\\Shop\\Cart;\nuse Acme\\Shop\\Pricing\\Price;\nclass Cart {}\n",
            "src/Pricing/Price.php": "<?php\nnamespace Acme\\Shop\\Pricing;\nclass Price {}\n",
            "tests/Cart/CartTest.php": "<?php\nnamespace Acme\\Shop\\Tests;\nuse Acme\\Shop\\Cart\\Cart;\nclass CartTest {}\n",
        },
        {
            "src/Cart/Cart.php": {"src/Pricing/Price.php"},
            "tests/Cart/CartTest.php": {"src/Cart/Cart.php"},
        },
    ),
    "typescript": (
        {
            "package.json": '{"workspaces": ["packages/*"]}\n',
            "packages/cart/package.json": '{"name": "@shop/cart"}\n',
            "packages/cart/src/index.ts": "export { Cart } from './cart'\n",
            "packages/cart/src/cart.ts": "import { Price } from '@shop/price'\nimport { round } from '@shop/price/rounding'\nexport class Cart {}\n",
            "packages/cart/test/cart.test.ts": "export const x = 1\n",
            "packages/price/package.json": '{"name": "@shop/price"}\n',
            "packages/price/src/index.ts": "export { Price } from './amount'\n",
            "packages/price/src/amount.ts": "export class Price {}\n",
            "packages/price/src/rounding.ts": "export function round() {}\n",
        },
        {
            "packages/cart/src/cart.ts": {
                "packages/price/src/index.ts",
                "packages/price/src/amount.ts",
                "packages/price/src/rounding.ts",
            },
            "packages/cart/test/cart.test.ts": {"packages/cart/src/cart.ts"},
        },
    ),
    "rust": (
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n',
            "crates/price/Cargo.toml": '[package]\nname = "shop-price"\n',
            "crates/price/src/lib.rs": "pub use crate::amount::Price;\nmod amount;\n",
            "crates/price/src/amount.rs": "pub struct Price;\n",
            "crates/cart/Cargo.toml": '[package]\nname = "shop-cart"\n',
            "crates/cart/src/lib.rs": "use shop_price::Price;\npub struct Cart;\n",
        },
        {"crates/cart/src/lib.rs": {"crates/price/src/lib.rs", "crates/price/src/amount.rs"}},
    ),
    "typescript-modules": (
        {
            "src/core/index.ts": "export { round } from './rounding.js'\n",
            "src/core/rounding.ts": "export function round() {}\n",
            "src/cart.ts": "import { round } from './core/index.js'\n",
            "src/page/view.ts": "import * as core from '../core/index.js'\n",
        },
        {
            "src/core/index.ts": {"src/core/rounding.ts"},
            "src/cart.ts": {"src/core/index.ts", "src/core/rounding.ts"},
            "src/page/view.ts": {"src/core/index.ts"},
        },
    ),
    "rust-root": (
        {
            "crates/price/src/lib.rs": "pub struct Error;\nmod deep;\n",
            "crates/price/src/deep/amount.rs": "use crate::Error;\npub struct Amount;\n",
            "crates/cart/src/lib.rs": "pub struct Error;\n",
            "build.rs": "use crate::Error;\n",
        },
        {"crates/price/src/deep/amount.rs": {"crates/price/src/lib.rs"}, "build.rs": set()},
    ),
    "python": (
        {
            "src/shop/__init__.py": "",
            "src/shop/cart.py": "class Cart: ...\n",
            "src/shop/price.py": "class Price: ...\n",
            "tests/test_cart.py": "import shop\n",
        },
        {"tests/test_cart.py": {"src/shop/__init__.py", "src/shop/cart.py"}},
    ),
}


@pytest.mark.parametrize("language", sorted(TREES))
def test_imports_reach_packages(language: str, tmp_path: Path) -> None:
    files, wanted = TREES[language]
    index = open_index(write_tree(tmp_path / "tree", files), settings(tmp_path))
    links = index_data_of(index).imports
    for path, reached in wanted.items():
        columns, _ = links.line(index.file_index(path))
        assert {index.paths[column] for column in columns.tolist()} == reached, path
