"""The newest syntax: what follows it is always found, and the documentation says what the grammars cannot read."""

from pathlib import Path

import pytest

from hal9.ripmap.extraction.extractor import extract, lost_definitions
from hal9.ripmap.records import Extraction

from .new_syntax import LATER, SYNTAX

CASES = [(language, name) for language, samples in SYNTAX.items() for name in samples]
TABLE = Path(__file__).parents[3] / "docs" / "ripmap-grammars.md"


def read(language: str, name: str) -> Extraction:
    head = "package a\n\n" if language == "go" else ""
    return extract(language, f"{head}{SYNTAX[language][name]}\n{LATER[language]}".encode())


@pytest.mark.parametrize(("language", "name"), CASES)
def test_what_follows_is_found(language: str, name: str) -> None:
    found = {definition.name: definition for definition in read(language, name).definitions}
    assert {"later", "Later2", "member"} <= set(found)
    assert found["member"].parent == "Later2"


def test_the_table_says_what_cannot_be_read() -> None:
    rows = []
    for language, samples in SYNTAX.items():
        bad = [name for name in samples if read(language, name).status == "partial"]
        good = [name for name in samples if name not in bad]
        rows.append(f"| {language} | {', '.join(good)} | {', '.join(bad) or 'nothing of these'} |")
    assert "\n".join(rows) in TABLE.read_text()


BROKEN = {
    "kotlin": "class A {\n    val x = when (y) { is Int if y > 3 -> 1\n        else -> 2 }\n\n%s}\n",
    "csharp": "class A {\n    ??? broken ( { [ ;\n\n%s}\n",
    "java": "class A {\n    int x = ( { [ ;\n\n%s}\n",
    "python": "x = (1,\n\n%s",
    "go": "package a\n\nvar x = map[string]int{ {{{\n\n%s",
    "rust": "const X: u8 = [[[(;\n\n%s",
    "typescript": "const x = { a: ((( \n\n%s",
    "php": "<?php\n$x = [[[(;\n\n%s",
    "ruby": "x = [[[(\n\n%s",
    "c": "int x = {{{ ((;\n\n%s",
    "cpp": "int x = {{{ ((;\n\n%s",
    "scala": "val x = ((( [[[\n\n%s",
    "javascript": "const x = { a: ((( \n\n%s",
}
ONE = {
    "kotlin": "    fun name%d(a: Int) {\n        b()\n    }\n\n",
    "csharp": "    public void name%d(int a) {\n        b();\n    }\n\n",
    "java": "    public void name%d(int a) {\n        b();\n    }\n\n",
    "python": "def name%d(a):\n    b()\n\n\n",
    "go": "func name%d(a int) {\n\tb()\n}\n\n",
    "rust": "fn name%d(a: u8) {\n    b();\n}\n\n",
    "typescript": "function name%d(a: number) {\n  b();\n}\n\n",
    "php": "function name%d($a) {\n    b();\n}\n\n",
    "ruby": "def name%d(a)\n  b\nend\n\n",
    "c": "int name%d(int a) {\n    return b();\n}\n\n",
    "cpp": "int name%d(int a) {\n    return b();\n}\n\n",
    "scala": "def name%d(a: Int) = {\n  b()\n}\n\n",
    "javascript": "function name%d(a) {\n  b();\n}\n\n",
}


@pytest.mark.parametrize("language", sorted(BROKEN))
def test_after_an_error_nearly_everything_is_found_again(language: str) -> None:
    source = (BROKEN[language] % "".join(ONE[language] % number for number in range(48))).encode()
    found = extract(language, source)
    assert found.status == "partial"
    names = {definition.name for definition in found.definitions}
    missing = {f"name{number}" for number in range(48)} - names
    assert len(missing) <= 1
    assert lost_definitions(language, source) <= 1
    lines = source.split(b"\n")
    for definition in found.definitions:
        if definition.name.startswith("name"):
            assert definition.name.encode() in lines[definition.line - 1]


NESTED = {
    "java": "class C { " * 3000 + "}" * 3000,
    "cpp": "class C { " * 3000 + "};" * 3000,
    "csharp": "class C { " * 3000 + "}" * 3000,
    "ruby": "class A\n" * 3000 + "end\n" * 3000,
    "rust": "mod a { " * 3000 + "}" * 3000,
    "python": "".join(f"{' ' * depth}class C:\n" for depth in range(300)) + " " * 300 + "pass\n",
}


@pytest.mark.parametrize("language", sorted(NESTED))
def test_deeply_nested_definitions_are_cut_off(language: str) -> None:
    found = extract(language, NESTED[language].encode())
    assert 50 < len(found.definitions) < 500
    assert max(len(definition.parent) for definition in found.definitions) < 2000
