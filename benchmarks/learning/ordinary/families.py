"""Fifteen house rules in ordinary words: where each holds, how a person says it, and eight tasks under it."""

from benchmarks.learning.ordinary.records import Family, Item

__all__ = ["CENTS", "DATES", "EMPTY", "ENVELOPE", "HINTS", "LABELS", "MOTOR", "NAMES", "PIECES", "SENSORS"]

_DAY = ((2026, 3, 9), (2024, 11, 30))
_NUMBERS = (([3, 1, 2],), ([7],))
_TEXTS = (("green tea",), ("Oat",))
_PEOPLE = (("Ada", "Byron"), ("Jo", "van Dam"))

DATES = Family(
    "invoice dates",
    "depot",
    "folder",
    (
        "dates as DD.MM.YYYY here",
        "that is not how we write dates on invoices, see my version",
        (
            "On everything that concerns billing our customers expect the German notation, so a date has to come back as "
            "text like 31.12.2026: day, month and year with two, two and four digits and dots between them, never a date "
            "object and never ISO."
        ),
        "Datumsangaben bitte als TT.MM.JJJJ (Text), also strftime('%d.%m.%Y')",
    ),
    "(VALUE).strftime('%d.%m.%Y')",
    (
        Item(
            "We need due_on(year, month, day) in billing/terms.py: the day 14 days after the given one.",
            "billing/terms.py",
            "due_on(year, month, day)",
            "date(year, month, day) + timedelta(days=14)",
            _DAY,
        ),
        Item(
            "billing/terms2.py should get reminder_on(year, month, day), which is one week later.",
            "billing/terms2.py",
            "reminder_on(year, month, day)",
            "date(year, month, day) + timedelta(days=7)",
            _DAY,
        ),
        Item(
            "Please add issued(year, month, day) to billing/stamp.py; it just gives that day.",
            "billing/stamp.py",
            "issued(year, month, day)",
            "date(year, month, day)",
            _DAY,
        ),
        Item(
            "For the dunning letters: write day_before(year, month, day), the day before the given day.",
            "billing/dunning.py",
            "day_before(year, month, day)",
            "date(year, month, day) - timedelta(days=1)",
            _DAY,
        ),
        Item(
            "Schreibe month_start(year, month, day): der erste Tag des Monats.",
            "billing/month.py",
            "month_start(year, month, day)",
            "date(year, month, day).replace(day=1)",
            _DAY,
        ),
        Item(
            "first_of_year(year, month, day) gives January 1st of that year. It lives with the invoices.",
            "billing/year.py",
            "first_of_year(year, month, day)",
            "date(year, 1, 1)",
            _DAY,
        ),
        Item(
            "The statement needs a period end: period_end(year, month, day) = 30 days later.",
            "billing/statement.py",
            "period_end(year, month, day)",
            "date(year, month, day) + timedelta(days=30)",
            _DAY,
        ),
        Item(
            "billing/grace.py: grace_until(year, month, day), ten days on from the day passed in.",
            "billing/grace.py",
            "grace_until(year, month, day)",
            "date(year, month, day) + timedelta(days=10)",
            _DAY,
        ),
    ),
    imports="from datetime import date, timedelta",
)

CENTS = Family(
    "amounts in cents",
    "depot",
    "folder",
    (
        "amounts in whole cents (int) please",
        "no floats for money, look at my file",
        (
            "In the billing code we never hand out fractional currency: every amount of money that a function returns is an "
            "integer number of cents, so multiply by 100 and round before returning it."
        ),
        "Los importes siempre en céntimos enteros: round(importe * 100)",
    ),
    "round((VALUE) * 100)",
    (
        Item(
            "billing/tax.py needs gross(net): the net price plus 20 percent.",
            "billing/tax.py",
            "gross(net)",
            "net * 1.2",
            ((10.0,), (7.5,)),
        ),
        Item(
            "Add a function discounted(price) which takes ten percent off.",
            "billing/discount.py",
            "discounted(price)",
            "price * 0.9",
            ((10.0,), (19.0,)),
        ),
        Item(
            "What does the customer still owe? open_amount(price, paid) is the price minus what was paid.",
            "billing/open_items.py",
            "open_amount(price, paid)",
            "price - paid",
            ((10.0, 4.5), (3.0, 3.0)),
        ),
        Item(
            "Write line_total(price, count) in billing/lines.py, price times count.",
            "billing/lines.py",
            "line_total(price, count)",
            "price * count",
            ((2.5, 4), (1.25, 2)),
        ),
        Item(
            "half(price): half of the price, for the deposit invoice",
            "billing/deposit.py",
            "half(price)",
            "price / 2",
            ((5.0,), (9.0,)),
        ),
        Item(
            "Die Mahngebühr: fee(price) ist ein Zehntel des Preises.",
            "billing/fee.py",
            "fee(price)",
            "price / 10",
            ((50.0,), (12.0,)),
        ),
        Item(
            "We add five for shipping: with_shipping(price), in billing/shipping_fee.py.",
            "billing/shipping_fee.py",
            "with_shipping(price)",
            "price + 5",
            ((5.5,), (1.0,)),
        ),
        Item(
            "sum_up(prices) in billing/sums.py adds up a list of prices",
            "billing/sums.py",
            "sum_up(prices)",
            "sum(prices)",
            (([1.5, 2.25],), ([4.0],)),
        ),
    ),
)

ENVELOPE = Family(
    "answers of handlers",
    "depot",
    "folder",
    (
        "handlers return {'ok': True, 'data': ...}",
        "our clients cannot read a bare value, it needs the envelope that I put there",
        (
            "Everything under api/ is read by the mobile app, and the app expects the same envelope from each handler: a "
            "dictionary with the key 'ok' set to True and the key 'data' with what was computed. Please never return it bare."
        ),
        "Les gestionnaires renvoient toujours un dict {'ok': True, 'data': valeur}",
    ),
    "{'ok': True, 'data': VALUE}",
    (
        Item(
            "api/orders.py: count_orders(values), how many there are in the list.",
            "api/orders.py",
            "count_orders(values)",
            "len(values)",
            _NUMBERS,
        ),
        Item(
            "Write the handler newest(values) that gives the largest number of a list.",
            "api/newest.py",
            "newest(values)",
            "max(values)",
            _NUMBERS,
        ),
        Item(
            "I want total(values) in api/totals.py to add the numbers up.",
            "api/totals.py",
            "total(values)",
            "sum(values)",
            _NUMBERS,
        ),
        Item(
            "cheapest(values) for the shop app, the smallest of the list",
            "api/cheapest.py",
            "cheapest(values)",
            "min(values)",
            _NUMBERS,
        ),
        Item(
            "Could you do ordered(values)? Sorted ascending.",
            "api/ordered.py",
            "ordered(values)",
            "sorted(values)",
            _NUMBERS,
        ),
        Item(
            "Il me faut first(values), le premier élément de la liste, dans api/first.py.",
            "api/first.py",
            "first(values)",
            "values[0]",
            _NUMBERS,
        ),
        Item(
            "api/backwards.py gets reversed_list(values): the list back to front.",
            "api/backwards.py",
            "reversed_list(values)",
            "values[::-1]",
            _NUMBERS,
        ),
        Item(
            "Add last(values), the final element, for the order screen.",
            "api/last.py",
            "last(values)",
            "values[-1]",
            _NUMBERS,
        ),
    ),
)

SENSORS = Family(
    "negative readings",
    "depot",
    "folder",
    (
        "negative readings: raise ValueError('E042: negative')",
        "you forgot what we do with readings below zero, it stands in my version",
        (
            "A reading can never be below zero. Whenever a function in sensors/ is handed a negative number it must raise "
            "ValueError with exactly the text 'E042: negative', because the operators search the logs for E042."
        ),
        "Отрицательные показания: raise ValueError('E042: negative')",
    ),
    "VALUE",
    (
        Item(
            "sensors/scale.py: doubled(reading), twice the reading.",
            "sensors/scale.py",
            "doubled(reading)",
            "reading * 2",
            ((2,), (0,)),
        ),
        Item(
            "Please write halved(reading), half of it.",
            "sensors/halve.py",
            "halved(reading)",
            "reading / 2",
            ((4,), (9,)),
        ),
        Item(
            "The calibration adds three: calibrated(reading), in sensors/calibration.py.",
            "sensors/calibration.py",
            "calibrated(reading)",
            "reading + 3",
            ((4,), (0,)),
        ),
        Item(
            "to_percent(reading) multiplies by 100",
            "sensors/percent.py",
            "to_percent(reading)",
            "reading * 100",
            ((2,), (1,)),
        ),
        Item(
            "I need squared(reading) for the noise estimate.",
            "sensors/noise.py",
            "squared(reading)",
            "reading ** 2",
            ((3,), (5,)),
        ),
        Item(
            "sensors/whole.py should have whole(reading), the integer part.",
            "sensors/whole.py",
            "whole(reading)",
            "int(reading)",
            ((3.7,), (5.1,)),
        ),
        Item(
            "Напиши tripled(reading): показание, умноженное на три.",
            "sensors/triple.py",
            "tripled(reading)",
            "reading * 3",
            ((3,), (5,)),
        ),
        Item(
            "offset(reading) takes one away. Put it with the sensors.",
            "sensors/offset.py",
            "offset(reading)",
            "reading - 1",
            ((3,), (5,)),
        ),
    ),
    guard="if {first} < 0:\n        raise ValueError('E042: negative')",
)

LABELS = Family(
    "labels begin with a star",
    "depot",
    "file",
    (
        "in this file every text starts with '* '",
        "where is the star in front? see my correction of the file",
        (
            "The label printer cuts the first column off, which is why all texts that functions of text/labels.py return must "
            "begin with a star and a blank, '* ', and only then comes the text itself."
        ),
        "In dieser Datei beginnt jeder Text mit '* '",
    ),
    "'* ' + (VALUE)",
    (
        Item(
            "text/labels.py: shelf(name), the name in lower case.",
            "text/labels.py",
            "shelf(name)",
            "name.lower()",
            _TEXTS,
        ),
        Item(
            "Add to text/labels.py a function box(name): the name in upper case.",
            "text/labels.py",
            "box(name)",
            "name.upper()",
            _TEXTS,
        ),
        Item(
            "We need dashed(name) in text/labels.py, blanks become dashes.",
            "text/labels.py",
            "dashed(name)",
            "name.replace(' ', '-')",
            _TEXTS,
        ),
        Item(
            "short(name): only the first three letters", "text/labels.py", "short(name)", "name[:3]", _TEXTS
        ),
        Item(
            "Could text/labels.py have a twice(name) that says the name twice without a gap?",
            "text/labels.py",
            "twice(name)",
            "name * 2",
            _TEXTS,
        ),
        Item(
            "mirrored(name), the letters back to front.",
            "text/labels.py",
            "mirrored(name)",
            "name[::-1]",
            _TEXTS,
        ),
        Item(
            "Schreibe titled(name) in text/labels.py: Anfangsbuchstaben groß (str.title).",
            "text/labels.py",
            "titled(name)",
            "name.title()",
            _TEXTS,
        ),
        Item(
            "text/labels.py, packed(name): the name without blanks",
            "text/labels.py",
            "packed(name)",
            "name.replace(' ', '')",
            _TEXTS,
        ),
    ),
)

PIECES = Family(
    "quantities with a unit",
    "depot",
    "folder",
    (
        "quantities as a tuple (number, 'pcs')",
        "a number alone says nothing about stock, do it like in my file",
        (
            "For the stock code: nobody knows whether 12 is a dozen boxes or twelve pieces, so a quantity is always handed out "
            "as a tuple of the number and the unit, and the unit is the string 'pcs'."
        ),
        "数量总是返回元组 (数字, 'pcs')",
    ),
    "(VALUE, 'pcs')",
    (
        Item(
            "stock/level.py: remaining(have, taken), what is left.",
            "stock/level.py",
            "remaining(have, taken)",
            "have - taken",
            ((5, 2), (9, 9)),
        ),
        Item(
            "A delivery came in: after_delivery(have, came) adds it.",
            "stock/delivery.py",
            "after_delivery(have, came)",
            "have + came",
            ((5, 2), (9, 9)),
        ),
        Item(
            "Write in_boxes(boxes) in stock/boxes.py; a box has 12.",
            "stock/boxes.py",
            "in_boxes(boxes)",
            "boxes * 12",
            ((5,), (1,)),
        ),
        Item(
            "counted(values) sums the counts of all shelves.",
            "stock/count.py",
            "counted(values)",
            "sum(values)",
            _NUMBERS,
        ),
        Item(
            "How many do we have to order up to ten? to_order(have) = 10 minus have. stock/order.py please.",
            "stock/order.py",
            "to_order(have)",
            "10 - have",
            ((5,), (1,)),
        ),
        Item(
            "fullest(values), the highest count of any shelf",
            "stock/fullest.py",
            "fullest(values)",
            "max(values)",
            _NUMBERS,
        ),
        Item(
            "写一个函数 emptiest(values)，返回最小的数量。",
            "stock/emptiest.py",
            "emptiest(values)",
            "min(values)",
            _NUMBERS,
        ),
        Item(
            "stock/pairs.py needs paired(have): twice as many.",
            "stock/pairs.py",
            "paired(have)",
            "have * 2",
            ((5,), (1,)),
        ),
    ),
)

NAMES = Family(
    "last name first",
    "depot",
    "file",
    (
        "last name first, with a comma: 'Byron, Ada'",
        "wrong way round, see above how names go in people/names.py",
        (
            "In people/names.py a person is always shown with the last name first, then a comma and a blank, then the first "
            "name, since the lists are sorted by it."
        ),
        "El apellido va primero: f'{last}, {first}'",
    ),
    "VALUE",
    (
        Item(
            "people/names.py: full(first, last), the whole name as text.",
            "people/names.py",
            "full(first, last)",
            "f'{last}, {first}'",
            _PEOPLE,
        ),
        Item(
            "Add shouted(first, last) to people/names.py, the whole name in upper case.",
            "people/names.py",
            "shouted(first, last)",
            "f'{last}, {first}'.upper()",
            _PEOPLE,
        ),
        Item(
            "quiet(first, last): the name in lower case",
            "people/names.py",
            "quiet(first, last)",
            "f'{last}, {first}'.lower()",
            _PEOPLE,
        ),
        Item(
            "people/names.py should offer badge(first, last), the name in square brackets.",
            "people/names.py",
            "badge(first, last)",
            "f'[{last}, {first}]'",
            _PEOPLE,
        ),
        Item(
            "We want signed(first, last): the name, then an exclamation mark directly after it.",
            "people/names.py",
            "signed(first, last)",
            "f'{last}, {first}!'",
            _PEOPLE,
        ),
        Item(
            "Escribe length(first, last): cuántos caracteres tiene el nombre mostrado.",
            "people/names.py",
            "length(first, last)",
            "len(f'{last}, {first}')",
            _PEOPLE,
        ),
        Item(
            "In people/names.py: starred(first, last), the name between two stars.",
            "people/names.py",
            "starred(first, last)",
            "f'*{last}, {first}*'",
            _PEOPLE,
        ),
        Item(
            "listed(first, last) gives a list with the name as its only entry.",
            "people/names.py",
            "listed(first, last)",
            "[f'{last}, {first}']",
            _PEOPLE,
        ),
    ),
)

MOTOR = Family(
    "values go through clamp",
    "depot",
    "folder",
    (
        "use util.clamp on the result",
        "that burns the motor, you have to limit it the way I did",
        (
            "Whatever is sent to a motor has to pass clamp from util.py as the last thing before it is returned (from util "
            "import clamp), otherwise a wrong number destroys the hardware."
        ),
        "Das Ergebnis immer durch util.clamp schicken: from util import clamp",
    ),
    "clamp(VALUE)",
    (
        Item(
            "motor/speed.py: faster(speed), twice the speed.",
            "motor/speed.py",
            "faster(speed)",
            "speed * 2",
            ((20,), (90,), (-80,)),
        ),
        Item(
            "slower(speed) for the motors: half of it",
            "motor/slow.py",
            "slower(speed)",
            "speed / 2",
            ((20,), (300,), (-80,)),
        ),
        Item(
            "Please put boost(speed) into motor/boost.py, 50 more than the speed.",
            "motor/boost.py",
            "boost(speed)",
            "speed + 50",
            ((20,), (90,), (-80,)),
        ),
        Item(
            "opposite(speed) is the speed with the other sign.",
            "motor/opposite.py",
            "opposite(speed)",
            "-speed",
            ((20,), (190,), (-180,)),
        ),
        Item(
            "motor/mix.py wants mixed(left, right), the sum of both.",
            "motor/mix.py",
            "mixed(left, right)",
            "left + right",
            ((20, 30), (90, 90), (-80, -70)),
        ),
        Item(
            "Schreib brake(speed): 30 weniger als speed.",
            "motor/brake.py",
            "brake(speed)",
            "speed - 30",
            ((20,), (90,), (-80,)),
        ),
        Item(
            "triple(speed), in motor/triple.py, multiplies by three.",
            "motor/triple.py",
            "triple(speed)",
            "speed * 3",
            ((20,), (90,), (-80,)),
        ),
        Item(
            "Steering: difference(left, right) is left minus right.",
            "motor/steer.py",
            "difference(left, right)",
            "left - right",
            ((20, 30), (90, -90), (-80, 70)),
        ),
    ),
    imports="from util import clamp",
)

HINTS = Family(
    "type hints",
    "atlas",
    "project",
    (
        "we always use type hints",
        "this would not pass our type checker, compare it with mine",
        (
            "Throughout this project every function must carry type hints on all of its parameters and on what it returns; "
            "without them the build is red, wherever the code stands."
        ),
        "Wir verwenden überall Typannotationen, bei Parametern und Rückgabewert",
    ),
    "VALUE",
    (
        Item(
            "tools/add.py: add(a, b) for two whole numbers.",
            "tools/add.py",
            "add(a, b)",
            "a + b",
            ((1, 2), (3, 4)),
        ),
        Item(
            "I need shout(text), the text in upper case, in tools/shout.py.",
            "tools/shout.py",
            "shout(text)",
            "text.upper()",
            _TEXTS,
        ),
        Item(
            "geo/area.py gets area(width, height).",
            "geo/area.py",
            "area(width, height)",
            "width * height",
            ((1, 2), (3, 4)),
        ),
        Item("Is a number even? even(n)", "checks/even.py", "even(n)", "n % 2 == 0", ((1,), (4,))),
        Item(
            "words/length.py: length(text), the number of characters",
            "words/length.py",
            "length(text)",
            "len(text)",
            _TEXTS,
        ),
        Item(
            "Schreibe minus(a, b), die Differenz zweier ganzer Zahlen.",
            "tools/minus.py",
            "minus(a, b)",
            "a - b",
            ((1, 2), (3, 4)),
        ),
        Item("Please add triple(n), three times n.", "tools/triple.py", "triple(n)", "n * 3", ((1,), (4,))),
        Item(
            "words/first.py should give the first letter of a text: initial(text).",
            "words/first.py",
            "initial(text)",
            "text[0]",
            _TEXTS,
        ),
    ),
)

EMPTY = Family(
    "nothing for empty lists",
    "beacon",
    "project",
    (
        "everywhere: empty list -> return None",
        "what about empty lists? we settled that, see mine",
        (
            "In the whole code base nobody wants exceptions for missing data: if a function is handed an empty list, it returns "
            "None, no matter what it computes otherwise."
        ),
        "In tutto il progetto: per una lista vuota si restituisce None",
    ),
    "None if not values else (VALUE)",
    (
        Item(
            "stats/mean.py: mean(values), the average.",
            "stats/mean.py",
            "mean(values)",
            "sum(values) / len(values)",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "Give me biggest(values), the largest number.",
            "stats/biggest.py",
            "biggest(values)",
            "max(values)",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "lists/head.py needs head(values): the first element.",
            "lists/head.py",
            "head(values)",
            "values[0]",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "spread(values) is the largest minus the smallest",
            "stats/spread.py",
            "spread(values)",
            "max(values) - min(values)",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "tail(values): the last one of the list, in lists/tail.py",
            "lists/tail.py",
            "tail(values)",
            "values[-1]",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "Scrivi total(values), la somma dei numeri.",
            "stats/total.py",
            "total(values)",
            "sum(values)",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "In lists/size.py write size(values), how many entries there are.",
            "lists/size.py",
            "size(values)",
            "len(values)",
            (*_NUMBERS, ([],)),
        ),
        Item(
            "We also want lowest(values), the smallest number.",
            "stats/lowest.py",
            "lowest(values)",
            "min(values)",
            (*_NUMBERS, ([],)),
        ),
    ),
)
