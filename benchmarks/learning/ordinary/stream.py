"""The stream in ordinary words: recurring families, the same functions in other places, unrelated problems."""

import random
import re

from benchmarks.humaneval.problems import load
from benchmarks.learning.ordinary.families import CENTS, DATES, LABELS, MOTOR
from benchmarks.learning.ordinary.more_families import FAMILIES, TEXT_FAMILIES
from benchmarks.learning.ordinary.records import Family, Item, OrdinaryTask

__all__ = ["build"]

_UTIL = "def clamp(value):\n    return max(-100, min(100, value))\n"
_ELSEWHERE = {
    "invoice dates": "shipping",
    "amounts in cents": "lab",
    "answers of handlers": "console",
    "negative readings": "weather",
    "labels begin with a star": "text",
    "quantities with a unit": "kitchen",
    "values go through clamp": "toys",
    "type hints": "",
}
_UNRELATED = 24
_BOTH = (
    ("billing/entry.py: entry(year, month, day, price), the day together with the price as a tuple.", "entry", "date(year, month, day)", "price"),
    ("We need row(year, month, day, price) for the invoice: a tuple of the day after and the price.", "row", "date(year, month, day) + timedelta(days=1)", "price"),
    ("Write paid(year, month, day, price) in billing/paid.py: tuple of the day and half of the price.", "paid", "date(year, month, day)", "price / 2"),
    ("due(year, month, day, price) gives the day 14 days later and the price, in a tuple; it belongs to billing.", "due", "date(year, month, day) + timedelta(days=14)", "price"),
)  # fmt: skip


def build(seed: int = 1, *, wording: int = 0, unrelated: int = _UNRELATED) -> list[OrdinaryTask]:
    """The stream.

    Args:
        seed: of the order.
        wording: which of the four wordings the first family is corrected in; the next family takes the next.
        unrelated: how many problems that have nothing to do with any rule.
    """
    chance = random.Random(seed)
    families = [
        [_recurring(family, number, (wording + at) % 4) for number in range(len(family.items))]
        for at, family in enumerate(FAMILIES)
    ]
    singles = [*_near_misses(), *_unrelated(unrelated)]
    chance.shuffle(singles)
    slots = [at for at, family in enumerate(families) for _ in family] + [-1] * len(singles)
    chance.shuffle(slots)
    queues, rest = [iter(family) for family in families], iter(singles)
    # Two rules at once are asked for when both may be known.
    return [next(rest) if slot < 0 else next(queues[slot]) for slot in slots] + _both()


def _recurring(family: Family, number: int, wording: int) -> OrdinaryTask:
    item = family.items[number]
    changed = family.later is not None and number >= family.later
    form = family.later_form if changed else family.form
    corrections = family.later_corrections if changed else family.corrections
    first = number == 0 or number == family.later
    ended = changed and form == "VALUE"
    check, solution = _code(family, item, form)
    return OrdinaryTask(
        id=f"{family.name}/{number}",
        kind="recurring",
        family=family.name,
        repository=family.repository,
        words=item.words,
        target=item.target,
        check=check,
        solution=solution,
        correction=corrections[wording] if first else "",
        position=0 if first else number,
        phase=int(changed),
        rules=frozenset() if ended else frozenset({family.name}),
        files={"util.py": _UTIL},
    )


def _code(family: Family, item: Item, form: str) -> tuple[str, str]:
    if family in TEXT_FAMILIES:
        return _text_code(family, item)
    name, _, rest = item.call.partition("(")
    parameters = [one.strip() for one in rest.rstrip(")").split(",")]
    shown = form.replace("VALUE", item.value)
    imports = f"{family.imports}\n" if family.imports else ""
    guard = f"    {family.guard.format(first=parameters[0])}\n" if family.guard else ""
    signature = item.call
    if family.name == "type hints":
        kinds = [type(value).__name__ for value in item.trials[0]]
        named = ", ".join(f"{one}: {kind}" for one, kind in zip(parameters, kinds, strict=True))
        result = type(eval(item.value, dict(zip(parameters, item.trials[0], strict=True)))).__name__
        signature = f"{name}({named}) -> {result}"
    solution = f"{imports}\n\ndef {signature}:\n{guard}    return {shown}\n".lstrip("\n")
    extra = ""
    if family.guard:
        extra = (
            f"try:\n    {name}(*([-4] * {len(parameters)}))\nexcept ValueError as error:\n"
            "    assert str(error) == 'E042: negative', f'the error says {error}'\n"
            "else:\n    raise AssertionError('no ValueError for a negative reading')\n"
        )
    if family.name == "type hints":
        extra = (
            f"import inspect\nsignature = inspect.signature({name})\n"
            "assert signature.return_annotation is not signature.empty, 'no type of the result'\n"
            "assert all(p.annotation is not p.empty for p in signature.parameters.values()), 'a parameter has no type'\n"
        )
    return _check(item, name, parameters, imports, shown, extra), solution


def _check(item: Item, name: str, parameters: list[str], imports: str, shown: str, extra: str) -> str:
    return (
        "import importlib.util, sys\nsys.path.insert(0, '.')\n"
        f"{imports}from util import clamp\n"
        f"spec = importlib.util.spec_from_file_location('target', {item.target!r})\n"
        "module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        f"{name} = module.{name}\n"
        f"for given in {item.trials!r}:\n"
        f"    wanted = (lambda {', '.join(parameters)}: {shown})(*given)\n    got = {name}(*given)\n"
        f"    assert got == wanted, f'{name}{{given}} returned {{got!r}}, expected {{wanted!r}}'\n{extra}"
    )


def _text_code(family: Family, item: Item) -> tuple[str, str]:
    wanted = re.escape(item.value)
    if family.name.startswith("shell"):
        pattern, solution = (
            rf"\A[^\n]*\n(?:\s*\n|#[^\n]*\n)*set -eu\b(?s:.*)\b{wanted}\b",
            f"#!/bin/sh\nset -eu\n{item.value} data\n",
        )
    elif family.name.startswith("table"):
        pattern, solution = rf"(?i)\bdp_{wanted}\b", f"SELECT * FROM dp_{item.value};\n"
    else:
        pattern, solution = rf"(?i)\A\s*Status: draft\s*\n(?s:.*){wanted}", f"Status: draft\n\n{item.value}\n"
    check = (
        f"import re\ntext = open({item.target!r}).read()\n"
        f"assert re.search({pattern!r}, text), 'the text is not as it must be: ' + repr(text[:80])\n"
    )
    return check, solution


def _near_misses() -> list[OrdinaryTask]:
    found = []
    for family in FAMILIES:
        if family.name not in _ELSEWHERE:
            continue
        folder = _ELSEWHERE[family.name]
        for number, item in enumerate(family.items[:3]):
            target = (
                f"text/plain{number}.py" if family is LABELS else f"{folder}/{item.target.split('/')[-1]}"
            )
            target = item.target if not folder else target
            words = item.words.replace(item.target, target)
            if target not in words:
                words += f" It goes into {target}."
            if family is DATES:
                words += " Return a date object."
            plain = Family(
                "plain",
                "depot",
                "file",
                ("",) * 4,
                "VALUE",
                (),
                imports=family.imports if family is not MOTOR else "",
            )  # type: ignore[arg-type]
            moved = Item(words, target, item.call, item.value, item.trials)
            check, solution = _code(plain, moved, "VALUE")
            found.append(_single("near_miss", f"near {family.name}/{number}", moved, check, solution))
    for number, item in enumerate(
        (
            Item(
                "billing/queue.py: waiting(values), how many letters wait in the list.",
                "billing/queue.py",
                "waiting(values)",
                "len(values)",
                (([3, 1],), ([],)),
            ),
            Item(
                "billing/longest.py: longest(values), the longest name in the list.",
                "billing/longest.py",
                "longest(values)",
                "max(values, key=len)",
                ((["a", "abc"],),),
            ),
        )
    ):
        check, solution = _code(Family("plain", "depot", "file", ("",) * 4, "VALUE", ()), item, "VALUE")  # type: ignore[arg-type]
        found.append(_single("near_miss", f"same folder/{number}", item, check, solution))
    return found


def _single(kind: str, name: str, item: Item, check: str, solution: str) -> OrdinaryTask:
    return OrdinaryTask(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        family=name,
        repository="depot",
        words=item.words,
        target=item.target,
        check=check,
        solution=solution,
        files={"util.py": _UTIL},
    )


def _unrelated(count: int) -> list[OrdinaryTask]:
    return [
        OrdinaryTask(
            id=problem.id,
            kind="unrelated",
            family="humaneval",
            repository="depot",
            words=problem.objective,
            target="solution.py",
            check=f"from solution import *\nfrom solution import {problem.entry_point}\n{problem.test}\n"
            f"check({problem.entry_point})\n",
            solution="",
        )
        for problem in load(count)
    ]


def _both() -> list[OrdinaryTask]:
    found = []
    for number, (words, name, day, price) in enumerate(_BOTH):
        form = f"({DATES.form.replace('VALUE', day)}, {CENTS.form.replace('VALUE', price)})"
        call = f"{name}(year, month, day, price)"
        item = Item(words, f"billing/{name}.py", call, form, ((2026, 3, 9, 2.5), (2024, 11, 30, 10.0)))
        check, solution = _code(
            Family("both", "depot", "folder", ("",) * 4, "VALUE", (), imports=DATES.imports), item, "VALUE"
        )  # type: ignore[arg-type]
        found.append(
            OrdinaryTask(
                id=f"both/{number}",
                kind="recurring",
                family="two rules at once",
                repository="depot",
                words=words,
                target=item.target,
                check=check,
                solution=solution,
                position=number + 1,
                rules=frozenset({DATES.name, CENTS.name}),
                files={"util.py": _UTIL},
            )
        )
    return found
