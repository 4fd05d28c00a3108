"""House conventions that nobody could guess: five modules, fifteen functions each, a rule that every check enforces.

The task never states the rule; the simulated user does, when an answer is rejected.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """A small function: what it does in words, its expression, and arguments to try."""

    name: str
    arguments: str
    words: str
    expression: str
    trials: tuple[tuple[object, ...], ...]


NUMBERS = (
    Function("total", "values", "the sum of a list of numbers", "sum(values)", (([1, 2, 3],), ([],), ([5],))),
    Function(
        "largest", "values", "the largest number of a non-empty list", "max(values)", (([1, 9, 3],), ([4],))
    ),
    Function(
        "smallest", "values", "the smallest number of a non-empty list", "min(values)", (([5, 2, 8],), ([4],))
    ),
    Function("count", "values", "how many entries a list has", "len(values)", (([1, 2],), ([],))),
    Function("first", "values", "the first entry of a non-empty list", "values[0]", (([7, 8],), ([1],))),
    Function("last", "values", "the last entry of a non-empty list", "values[-1]", (([7, 8],), ([1],))),
    Function("doubled", "value", "a number times two", "value * 2", ((4,), (0,))),
    Function("squared", "value", "the square of a number", "value * value", ((3,), (0,))),
    Function("difference", "a, b", "the first number minus the second", "a - b", ((9, 4), (1, 1))),
    Function("product", "a, b", "the product of two numbers", "a * b", ((3, 4), (0, 5))),
    Function("remainder", "a, b", "the remainder of a divided by b", "a % b", ((9, 4), (8, 2))),
    Function(
        "average",
        "values",
        "the average of a non-empty list",
        "sum(values) / len(values)",
        (([1, 3],), ([4],)),
    ),
    Function("half", "value", "a number divided by two", "value / 2", ((8,), (3,))),
    Function(
        "span",
        "values",
        "the largest minus the smallest entry",
        "max(values) - min(values)",
        (([1, 9],), ([4],)),
    ),
    Function("negated", "value", "a number with its sign changed", "-value", ((3,), (0,))),
)
SINGLE = (
    Function("kelvin", "value", "value plus 273", "value + 273", ((10,), (0,))),
    Function("percent", "value", "value times 100", "value * 100", ((2,), (0,))),
    Function("tripled", "value", "value times three", "value * 3", ((4,), (0,))),
    Function("raised", "value", "value plus one", "value + 1", ((4,), (0,))),
    Function("halved", "value", "value divided by two", "value / 2", ((4,), (0,))),
    Function("square", "value", "value times value", "value * value", ((4,), (0,))),
    Function("cube", "value", "value to the power of three", "value ** 3", ((2,), (0,))),
    Function("tenth", "value", "value divided by ten", "value / 10", ((20,), (0,))),
    Function("offset", "value", "value plus 40", "value + 40", ((2,), (0,))),
    Function("doubled", "value", "value times two", "value * 2", ((2,), (0,))),
    Function("whole", "value", "value rounded down to a whole number", "int(value // 1)", ((2.7,), (0,))),
    Function("millis", "value", "value times 1000", "value * 1000", ((2,), (0,))),
    Function("minutes", "value", "value divided by 60", "value / 60", ((120,), (0,))),
    Function("fahrenheit", "value", "value times 1.8 plus 32", "value * 1.8 + 32", ((10,), (0,))),
    Function("scaled", "value", "value times 0.5", "value * 0.5", ((10,), (0,))),
)
DATES = (
    ("invoice_date", "the date of an invoice", "date(year, month, day)"),
    ("due_date", "the date 14 days after the given one", "date(year, month, day) + timedelta(days=14)"),
    ("reminder_date", "the date 30 days after the given one", "date(year, month, day) + timedelta(days=30)"),
    ("next_day", "the day after the given date", "date(year, month, day) + timedelta(days=1)"),
    ("day_before", "the day before the given date", "date(year, month, day) - timedelta(days=1)"),
    ("week_later", "the date seven days after the given one", "date(year, month, day) + timedelta(days=7)"),
    ("month_start", "the first day of the given date's month", "date(year, month, 1)"),
    ("year_start", "the first of January of the given date's year", "date(year, 1, 1)"),
    ("year_end", "the last day of the given date's year", "date(year, 12, 31)"),
    ("expiry", "the date 90 days after the given one", "date(year, month, day) + timedelta(days=90)"),
    (
        "two_weeks_before",
        "the date 14 days before the given one",
        "date(year, month, day) - timedelta(days=14)",
    ),
    ("tenth_day", "the date ten days after the given one", "date(year, month, day) + timedelta(days=10)"),
    ("payment_date", "the date of a payment", "date(year, month, day)"),
    ("hundred_days", "the date 100 days after the given one", "date(year, month, day) + timedelta(days=100)"),
    (
        "shipping_date",
        "the date three days after the given one",
        "date(year, month, day) + timedelta(days=3)",
    ),
)
PRICES = (
    ("price", "a price", "amount"),
    ("with_tax", "a price plus 19 percent", "amount * 1.19"),
    ("half_price", "half of a price", "amount / 2"),
    ("double_price", "twice a price", "amount * 2"),
    ("discounted", "a price less 10 percent", "amount * 0.9"),
    ("shipping", "a price plus 4.9", "amount + 4.9"),
    ("dozen", "twelve times a price", "amount * 12"),
    ("deposit", "a quarter of a price", "amount / 4"),
    ("monthly", "a price divided by twelve", "amount / 12"),
    ("yearly", "a price times twelve", "amount * 12"),
    ("surcharge", "a price plus 25", "amount + 25"),
    ("rebate", "a price minus 5", "amount - 5"),
)


def _ledger_solution(function: Function) -> str:
    return f"def {function.name}({function.arguments}):\n    return {{'result': {function.expression}}}\n"


def _ledger_check(function: Function) -> str:
    return _trials(function, "ledger", "{'result': wanted}")


def _sensors_solution(function: Function) -> str:
    return (
        f"def {function.name}({function.arguments}):\n    if value < 0:\n"
        f"        raise ValueError('E042: negative value')\n    return {function.expression}\n"
    )


def _sensors_check(function: Function) -> str:
    return _trials(function, "sensors", "wanted") + (
        f"try:\n    {function.name}(-5)\nexcept ValueError as error:\n"
        "    assert str(error).startswith('E042: '), f'the message is {error}'\n"
        "else:\n    raise AssertionError('no ValueError for a negative value')\n"
    )


def _motor_solution(function: Function) -> str:
    return (
        f"from util import clamp\n\n\ndef {function.name}({function.arguments}):\n"
        f"    return clamp({function.expression})\n"
    )


def _motor_check(function: Function) -> str:
    lines = ["import util", "calls = []", "real = util.clamp",
             "def spy(value):\n    calls.append(value)\n    return real(value)", "util.clamp = spy",
             f"from motor import {function.name}"]  # fmt: skip
    for trial in function.trials:
        arguments = ", ".join(repr(part) for part in trial)
        wanted = eval(function.expression, {}, dict(zip(function.arguments.split(", "), trial, strict=True)))
        lines += [f"assert {function.name}({arguments}) == real({wanted!r}), {function.name}({arguments})"]
    lines.append("assert calls, 'util.clamp was not called'")
    return "\n".join(lines) + "\n"


def _trials(function: Function, module: str, wrapped: str) -> str:
    lines = [f"from {module} import {function.name}"]
    for trial in function.trials:
        arguments = ", ".join(repr(part) for part in trial)
        wanted = eval(function.expression, {}, dict(zip(function.arguments.split(", "), trial, strict=True)))
        lines += [
            f"wanted = {wanted!r}",
            f"got = {function.name}({arguments})",
            f"assert got == {wrapped}, f'{function.name}({arguments}) returned {{got!r}}, expected {{{wrapped}!r}}'"
            if wrapped == "wanted"
            else f"expected = {wrapped}\nassert got == expected, f'returned {{got!r}}, expected {{expected!r}}'",
        ]
    return "\n".join(lines) + "\n"


LEDGER_RULE = "Every function of module ledger returns a dictionary {'result': value}, never the bare value."
SENSORS_RULE = "Every function of module sensors raises ValueError('E042: negative value') when its argument is negative."
BILLING_RULE = "Every function of module billing returns its date as text in the form DD.MM.YYYY: date.strftime('%d.%m.%Y')."
MOTOR_RULE = "Every function of module motor passes its result through clamp: from util import clamp; return clamp(value)."
SHOP_RULE = (
    "Every function of module shop returns text like '1.234,50 EUR': two decimals after a comma, a dot between "
    "thousands, a space and EUR."
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One convention task before it is put into a stream."""

    module: str
    name: str
    objective: str
    check: str
    solution: str
    rule: str


def _piece(module: str, name: str, arguments: str, words: str, check: str, solution: str, rule: str) -> Piece:
    objective = (
        f"Module {module}: write {module}.py with a Python function {name}({arguments}) that returns {words}."
    )
    return Piece(module, name, objective, check, solution, rule)


def ledger() -> list[Piece]:
    """Fifteen tasks under the ledger's rule."""
    return [
        _piece("ledger", f.name, f.arguments, f.words, _ledger_check(f), _ledger_solution(f), LEDGER_RULE)
        for f in NUMBERS
    ]


def sensors() -> list[Piece]:
    """Fifteen tasks under the sensors' rule."""
    return [
        _piece("sensors", f.name, f.arguments, f.words, _sensors_check(f), _sensors_solution(f), SENSORS_RULE)
        for f in SINGLE
    ]


def motor() -> list[Piece]:
    """Fifteen tasks under the motor's rule; the workspace holds util.py."""
    return [
        _piece("motor", f.name, f.arguments, f.words, _motor_check(f), _motor_solution(f), MOTOR_RULE)
        for f in SINGLE
    ]


def billing() -> list[Piece]:
    """Fifteen tasks under the billing rule."""
    pieces = []
    for name, words, expression in DATES:
        solution = (
            "from datetime import date, timedelta\n\n\n"
            f"def {name}(year, month, day):\n    return ({expression}).strftime('%d.%m.%Y')\n"
        )
        check = (
            f"from datetime import date, timedelta\nfrom billing import {name}\n"
            "for year, month, day in ((2026, 3, 9), (2024, 11, 30)):\n"
            f"    wanted = ({expression}).strftime('%d.%m.%Y')\n    got = {name}(year, month, day)\n"
            f"    assert got == wanted, f'{name}({{year}}, {{month}}, {{day}}) returned {{got!r}}, expected {{wanted!r}}'\n"
        )
        pieces.append(_piece("billing", name, "year, month, day", words, check, solution, BILLING_RULE))
    return pieces


def shop() -> list[Piece]:
    """Twelve tasks that need a recipe of several steps; small models mostly cannot, whatever they are told."""
    form = "f'{VALUE:,.2f}'.replace(',', 'X').replace('.', ',').replace('X', '.') + ' EUR'"
    pieces = []
    for name, words, expression in PRICES:
        shown = form.replace("VALUE", expression)
        solution = f"def {name}(amount):\n    return {shown}\n"
        check = (
            f"from shop import {name}\nfor amount in (1234.5, 20.0):\n    wanted = {shown}\n    got = {name}(amount)\n"
            f"    assert got == wanted, f'{name}({{amount}}) returned {{got!r}}, expected {{wanted!r}}'\n"
        )
        pieces.append(_piece("shop", name, "amount", words, check, solution, SHOP_RULE))
    return pieces


def near_misses() -> list[Piece]:
    """The ledger's and the sensors' functions under modules that have no such rule: the bare value is right."""
    pieces = []
    for f in NUMBERS[:14]:
        solution = f"def {f.name}({f.arguments}):\n    return {f.expression}\n"
        pieces.append(
            _piece("tools", f.name, f.arguments, f.words, _trials(f, "tools", "wanted"), solution, "")
        )
    for f in SINGLE[:14]:
        solution = f"def {f.name}({f.arguments}):\n    return {f.expression}\n"
        negative = Function(f.name, f.arguments, f.words, f.expression, (*f.trials, (-4,)))
        pieces.append(
            _piece(
                "gauges", f.name, f.arguments, f.words, _trials(negative, "gauges", "wanted"), solution, ""
            )
        )
    return pieces
