"""Every language's sample gives the definitions, imports, references and messages a reader sees in it."""

from pathlib import Path

import pytest

from hal9.ripmap.extraction.extractor import Extraction, extract
from hal9.ripmap.files.languages import LANGUAGES, language_of, load_language
from hal9.ripmap.records import Import

SAMPLES = Path(__file__).parent / "samples"

DEFINITIONS = {
    "sample.py": {"UserStore": "class", "UserStore.find": "method", "UserStore.Inner.deep": "method", "LIMIT": "constant",
                  "helper": "function", "UserStore.table": "field"},
    "sample.js": {"Greeter": "class", "Greeter.greet": "method", "make": "function", "arrow": "function", "LIMIT": "constant"},
    "sample.ts": {"Config": "interface", "Config.run": "method", "Name": "type", "Color": "enum", "Store": "class",
                  "Store.add": "method", "load": "function", "Inner": "module"},
    "sample.tsx": {"Panel": "function", "App": "function"},
    "sample.rs": {"Cache": "struct", "Cache.get": "method", "Cache.load": "method", "Load": "trait", "Mode": "enum",
                  "helper": "function", "LIMIT": "constant", "twice": "macro"},
    "sample.go": {"Store": "struct", "Loader": "interface", "Store.Get": "method", "New": "function", "Limit": "constant"},
    "sample.java": {"OrderStore": "class", "OrderStore.find": "method", "OrderStore.State": "enum", "OrderStore.Visitor.visit": "method"},
    "sample.c": {"item": "struct", "item_t": "type", "mode": "enum", "find_item": "function", "TWICE": "macro", "counter": "variable"},
    "sample.cpp": {"geo": "module", "geo.Circle": "class", "geo.Circle.area": "method", "geo.twice": "function", "geo.Mode": "enum"},
    "sample.rb": {"Acme": "module", "Acme.Store": "class", "Acme.Store.find": "method", "Acme.Store.LIMIT": "constant"},
    "sample.php": {"UserStore": "class", "UserStore.find": "method", "Countable": "interface", "Loud": "trait", "helper": "function"},
    "sample.cs": {"Acme.Store.UserStore": "class", "Acme.Store.UserStore.Find": "method", "Acme.Store.IStore": "interface",
                  "Acme.Store.Mode": "enum", "Acme.Store.Point": "struct"},
    "sample.kt": {"UserStore": "class", "UserStore.find": "method", "Store": "interface", "Mode": "enum", "helper": "function"},
    "sample.scala": {"UserStore": "class", "UserStore.find": "method", "Store": "trait"},
    "sample.sh": {"greet": "function", "main": "function", "LIMIT": "constant"},
    "sample.md": {"The store": "heading", "The store > Usage": "heading", "Second": "heading"},
    "sample.rst": {"Title": "heading", "Title > Section > Deeper": "heading", "Title > Another": "heading"},
}  # fmt: skip
CALLS = {
    "sample.py": {"load": "User", "info": "Logger", "helper": ""},
    "sample.js": {"format": "Greeter", "greet": "Greeter", "readFileSync": ""},
    "sample.ts": {"touch": "Thing", "add": "Store"},
    "sample.tsx": {"Button": "", "Panel": ""},
    "sample.rs": {"fetch": "Store", "get": "Cache", "helper": ""},
    "sample.go": {"Get": "Store", "Errorf": ""},
    "sample.java": {"check": "Order"},
    "sample.c": {"printf": "", "lookup": ""},
    "sample.cpp": {"log": "Helper", "make_shared": "", "area": "Circle"},
    "sample.rb": {"connect": "Database", "helper": ""},
    "sample.php": {"load": "User", "info": "Log", "table": "UserStore"},
    "sample.cs": {"Info": "Logger", "Helper": ""},
    "sample.kt": {"load": "User", "info": "Log"},
    "sample.scala": {"load": "User", "info": "Logger"},
    "sample.sh": {"greet": "", "log_line": ""},
}
IMPORTS = {
    "sample.py": [Import("base", ("Query",), "Q", 5, 2), Import("os.path", (), "osp", 4)],
    "sample.js": [Import("./react", ("useState",), "use", 1), Import("fs", (), "fs", 3), Import("./helper.js", ("helper",), "", 4)],
    "sample.ts": [Import("./base", ("Base", "Options"), "", 1)],
    "sample.rs": [Import("std::collections::hash_map", ("Entry",), "E", 1), Import("self::child", (), "", 3)],
    "sample.go": [Import("github.com/acme/log", (), "log", 5)],
    "sample.java": [Import("java.util", ("List",), "", 2)],
    "sample.c": [Import("store.h", (), "", 1)],
    "sample.cpp": [Import("shape.hpp", (), "", 2)],
    "sample.rb": [Import("base", (), "", 2, 1)],
    "sample.php": [Import("Acme\\Base", ("Query",), "Q", 3)],
    "sample.cs": [Import("Newtonsoft.Json", (), "Json", 2)],
    "sample.kt": [Import("acme.log", ("Logger",), "Log", 3)],
    "sample.scala": [Import("acme.base", ("Query",), "Q", 2)],
    "sample.sh": [Import("./lib.sh", (), "", 2)],
}  # fmt: skip
MESSAGES = {
    "sample.py": "no user with the id here",
    "sample.js": "name must not be empty",
    "sample.rs": "cannot find the key",
    "sample.java": "the order is not known",
    "sample.rb": "the thing is not here",
    "sample.go": "no such item here:",
}
DOCS = {
    "sample.py": ("UserStore", "Keeps users."),
    "sample.js": ("Greeter", "Says hello to everybody."),
    "sample.rs": ("Cache", "A cache of values."),
    "sample.go": ("Store.Get", "Get finds one item."),
    "sample.java": ("OrderStore.find", "Finds one order."),
    "sample.c": ("find_item", "Finds an item by its id."),
    "sample.cs": ("Acme.Store.UserStore", "Keeps users."),
    "sample.rb": ("Acme.Store", "Keeps things in order."),
    "sample.sh": ("greet", "Says hello to one person."),
}


def extracted(name: str) -> Extraction:
    content = (SAMPLES / f"{name}.sample").read_bytes()
    return extract(language_of(name, content), content)


def test_every_parsed_language_has_a_sample() -> None:
    sampled = {language_of(name) for name in DEFINITIONS}
    assert {language.name for language in LANGUAGES.values() if language.grammar} <= sampled
    assert all(load_language(name) is not None for name in sampled - {"markdown", "restructuredtext"})


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions(name: str) -> None:
    found = extracted(name)
    kinds = {definition.qualified: definition.kind for definition in found.definitions}
    assert found.status == "ok"
    assert {key: kinds.get(key) for key in DEFINITIONS[name]} == DEFINITIONS[name]
    assert all(1 <= d.line <= d.end_line <= found.lines for d in found.definitions)


@pytest.mark.parametrize("name", CALLS)
def test_calls_know_their_receivers_class(name: str) -> None:
    calls = {r.name: r.receiver_type for r in extracted(name).references if r.kind == "call"}
    assert {key: calls.get(key) for key in CALLS[name]} == CALLS[name]


@pytest.mark.parametrize(
    ("language", "code", "name"),
    [
        ("kotlin", "fun f() = load<Int>(x)\n", "load"),
        ("kotlin", "fun f() = store.load<Int>(x)\n", "load"),
        ("kotlin", "fun f() { launch<Int> { work() } }\n", "launch"),
        ("go", "package p\nfunc f() { a := Map[int, string](xs) }\n", "Map"),
        ("go", "package p\nfunc f() { a := Map[int](xs, g) }\n", "Map"),
        ("go", "package p\nfunc f() { a := lists.Map[int](xs) }\n", "Map"),
        ("go", "package p\nfunc f() { s.handlers[name](w) }\n", "handlers"),
    ],
)
def test_a_call_with_type_arguments_is_a_call(language: str, code: str, name: str) -> None:
    kinds = {r.name: r.kind for r in extract(language, code.encode()).references}
    assert kinds[name] == "call"


@pytest.mark.parametrize("name", IMPORTS)
def test_imports(name: str) -> None:
    found = list(extracted(name).imports)
    assert [wanted for wanted in IMPORTS[name] if wanted not in found] == []


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    assert MESSAGES[name] in [string.text for string in extracted(name).strings]


@pytest.mark.parametrize("name", DOCS)
def test_documentation(name: str) -> None:
    qualified, text = DOCS[name]
    assert text in {d.docstring for d in extracted(name).definitions if d.qualified == qualified}


def test_scopes_and_signatures() -> None:
    found = extracted("sample.py")
    by_name = {d.qualified: definition_index for definition_index, d in enumerate(found.definitions)}
    find = found.definitions[by_name["UserStore.find"]]
    assert (find.line, find.end_line, find.signature) == (22, 28, "def find(self, id: int) -> User")
    assert found.definitions[by_name["UserStore"]].bases == ("Base",)
    scopes = {r.name: r.scope for r in found.references if r.kind == "call"}
    assert scopes["load"] == by_name["UserStore.find"]
    assert scopes["helper"] == by_name["UserStore.Inner.deep"]


def test_docstrings_are_no_messages() -> None:
    assert "Find one user." not in [string.text for string in extracted("sample.py").strings]


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a/b.PY", b"", "python"),
        ("run", b"#!/usr/bin/env -S python3.11 -u\n", "python"),
        ("run", b"#!/bin/sh\n", "bash"),
        ("x.h", b"#pragma once\nclass A;\n", "cpp"),
        ("x.h", b"struct a;\n", "c"),
        ("Dockerfile", b"", "dockerfile"),
        (".py", b"", ""),
        ("unknown.zzz", b"", ""),
    ],
)
def test_language_of(path: str, head: bytes, language: str) -> None:
    assert language_of(path, head) == language


def test_syntax_error_keeps_what_can_be_read() -> None:
    found = extract(
        "python", b"def good():\n    return 1\n\ndef bad():\n    x = = 2\n\nclass After:\n    pass\n"
    )
    assert found.status == "partial"
    assert {"good", "After"} <= {d.name for d in found.definitions}


def test_language_without_grammar_falls_back_to_words() -> None:
    assert extract("haskell", b"main = print 1\n").status == "words"


def test_minified_bundle_is_not_parsed() -> None:
    found = extract("javascript", b"var a=1;" * 3000)
    assert (found.status, found.generated) == ("words", True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"# This file was generated by a program\nx = 1\n", True),
        (b'"""DO NOT EDIT"""\nimport os\n', True),
        (b"import os\n\n# This file was generated from a list by code like the following\n", False),
        (b"TEXT = 'DO NOT EDIT'\n", False),
    ],
)
def test_generated_files_say_so_before_their_code(source: bytes, expected: bool) -> None:
    assert extract("python", source).generated is expected
