"""The rest of the families: files that are no Python, and rules that change or end."""

from benchmarks.learning.ordinary.families import (
    CENTS,
    DATES,
    EMPTY,
    ENVELOPE,
    HINTS,
    LABELS,
    MOTOR,
    NAMES,
    PIECES,
    SENSORS,
)
from benchmarks.learning.ordinary.records import Family, Item

__all__ = ["FAMILIES", "TEXT_FAMILIES"]

_DAY = ((2026, 3, 9), (2024, 11, 30))
_NUMBERS = (([3, 1, 2],), ([7],))

SHELL = Family(
    "shell scripts stop at errors",
    "depot",
    "folder",
    (
        "scripts need `set -eu`",
        "it runs on after an error, compare mine",
        (
            "Every shell script of ours has `set -eu` as its second line, directly after the line with the interpreter, so "
            "that it stops at the first error instead of going on with half of the work done."
        ),
        "In Shellskripten steht in der zweiten Zeile immer set -eu",
    ),
    "set -eu",
    tuple(
        Item(words, target, "", value, ())
        for words, target, value in (
            ("scripts/backup.sh: copies the folder data to backup.", "scripts/backup.sh", "cp"),
            ("We need a script that prints the current date.", "scripts/today.sh", "date"),
            ("Write scripts/clean.sh, it removes the folder build.", "scripts/clean.sh", "rm"),
            ("A small script which makes the folders in and out", "scripts/folders.sh", "mkdir"),
            ("scripts/pack.sh packs the folder data into data.tar with tar.", "scripts/pack.sh", "tar"),
            ("Bitte ein Skript, das die Zeilen von data.txt zählt (mit wc).", "scripts/lines.sh", "wc"),
            ("scripts/move.sh: moves new.txt to old.txt", "scripts/move.sh", "mv"),
            ("Script to list the folder data with ls, please.", "scripts/list.sh", "ls"),
        )
    ),
)

SQL = Family(
    "table names",
    "depot",
    "folder",
    (
        "table names begin with dp_",
        "such a table does not exist here, look at the names in mine",
        (
            "All of our tables carry the prefix dp_ because the database is shared with another team: it is dp_orders and not "
            "orders, dp_customers and not customers, in each and every statement."
        ),
        "Os nomes das tabelas começam sempre com dp_",
    ),
    "dp_",
    tuple(
        Item(words, target, "", value, ())
        for words, target, value in (
            ("db/all_orders.sql: select everything from the table orders.", "db/all_orders.sql", "orders"),
            ("A query for the names of all customers", "db/customers.sql", "customers"),
            (
                "db/old.sql should delete the rows of the table invoices that are older than 2020 (column year).",
                "db/old.sql",
                "invoices",
            ),
            ("How many products are there? Write the query.", "db/products.sql", "products"),
            ("Please write db/open.sql, the open orders (column state is 'open').", "db/open.sql", "orders"),
            ("Uma consulta com todos os fornecedores da tabela suppliers.", "db/suppliers.sql", "suppliers"),
            ("db/cheap.sql: products whose price is below 10", "db/cheap.sql", "products"),
            ("Query: the ten newest rows of the table visits (column day).", "db/visits.sql", "visits"),
        )
    ),
)

NOTES = Family(
    "notes begin with a status",
    "depot",
    "folder",
    (
        "first line of a note: `Status: draft`",
        "our notes do not begin like that, see mine",
        (
            "Before a note may go into docs/ it needs a status, and the status is its very first line: `Status: draft`, then a "
            "blank line, and then whatever the note is about."
        ),
        "La première ligne d'une note est `Status: draft`",
    ),
    "Status: draft",
    tuple(
        Item(words, target, "", value, ())
        for words, target, value in (
            ("docs/backup.md: a short note that the backup runs at night.", "docs/backup.md", "backup"),
            (
                "Write a note about the holidays: the office is closed in August.",
                "docs/holidays.md",
                "august",
            ),
            ("docs/printer.md please, the printer stands in room 12.", "docs/printer.md", "12"),
            ("A short note on how to reach support: call 555.", "docs/support.md", "555"),
            ("We need docs/coffee.md, which says that coffee is free.", "docs/coffee.md", "coffee"),
            ("Une courte note: le parking est au sous-sol (parking).", "docs/parking.md", "parking"),
            ("docs/keys.md: keys are kept in the safe", "docs/keys.md", "safe"),
            ("Note that the lift is out of order.", "docs/lift.md", "lift"),
        )
    ),
)

REPORTS = Family(
    "report dates",
    "canal",
    "folder",
    (
        "report dates as YYYY-MM-DD text",
        "reports sort by their dates, that does not work like this; see mine",
        (
            "In reports/ a date is always text in the ISO notation, four digits of the year, then month, then day, with dashes "
            "between them, as in 2026-12-31."
        ),
        "Berichtsdaten als Text JJJJ-MM-TT, also isoformat()",
    ),
    "(VALUE).isoformat()",
    (
        Item(
            "reports/opening.py: opening(year, month, day), that very day.",
            "reports/opening.py",
            "opening(year, month, day)",
            "date(year, month, day)",
            _DAY,
        ),
        Item(
            "closing(year, month, day) is five days later.",
            "reports/closing.py",
            "closing(year, month, day)",
            "date(year, month, day) + timedelta(days=5)",
            _DAY,
        ),
        Item(
            "Add yesterday(year, month, day) to reports/yesterday.py.",
            "reports/yesterday.py",
            "yesterday(year, month, day)",
            "date(year, month, day) - timedelta(days=1)",
            _DAY,
        ),
        Item(
            "next_week(year, month, day) for the weekly report, seven days on",
            "reports/week.py",
            "next_week(year, month, day)",
            "date(year, month, day) + timedelta(days=7)",
            _DAY,
        ),
        Item(
            "reports/audit.py: audit_day(year, month, day), twenty days later.",
            "reports/audit.py",
            "audit_day(year, month, day)",
            "date(year, month, day) + timedelta(days=20)",
            _DAY,
        ),
        Item(
            "Write new_year(year, month, day), January 1st of the year.",
            "reports/new_year.py",
            "new_year(year, month, day)",
            "date(year, 1, 1)",
            _DAY,
        ),
        Item(
            "Schreibe tomorrow(year, month, day), den Tag danach.",
            "reports/tomorrow.py",
            "tomorrow(year, month, day)",
            "date(year, month, day) + timedelta(days=1)",
            _DAY,
        ),
        Item(
            "reports/first.py needs first_day(year, month, day): the first of the month.",
            "reports/first.py",
            "first_day(year, month, day)",
            "date(year, month, day).replace(day=1)",
            _DAY,
        ),
    ),
    imports="from datetime import date, timedelta",
    later=4,
    later_form="(VALUE).strftime('%d/%m/%Y')",
    later_corrections=(
        "from now on DD/MM/YYYY for report dates",
        "we changed the way dates look in reports, see mine: strftime('%d/%m/%Y')",
        (
            "The new auditors do not accept ISO. As of today the dates in reports are written with day, month and year and "
            "slashes between them, as in 31/12/2026, instead of the notation with dashes."
        ),
        "Ab jetzt stehen Berichtsdaten als TT/MM/JJJJ da: strftime('%d/%m/%Y')",
    ),
)

EXPORT = Family(
    "export values in a list",
    "canal",
    "folder",
    (
        "export functions return a list with the value in it",
        "the exporter iterates over what it gets, so mind how I return it",
        (
            "The exporter loops over whatever an export function hands back, therefore the value has to be wrapped in a list "
            "with exactly one entry, even when it is only a number."
        ),
        "Exportfunktionen geben immer eine Liste mit dem Wert zurück",
    ),
    "[VALUE]",
    (
        Item(
            "export/rows.py: rows(values), how many there are.",
            "export/rows.py",
            "rows(values)",
            "len(values)",
            _NUMBERS,
        ),
        Item(
            "peak(values) for the export, the largest one",
            "export/peak.py",
            "peak(values)",
            "max(values)",
            _NUMBERS,
        ),
        Item(
            "Put added(values) into export/added.py, the sum.",
            "export/added.py",
            "added(values)",
            "sum(values)",
            _NUMBERS,
        ),
        Item(
            "floor(values): the smallest number of the list.",
            "export/floor.py",
            "floor(values)",
            "min(values)",
            _NUMBERS,
        ),
        Item(
            "export/lead.py: lead(values), the first element",
            "export/lead.py",
            "lead(values)",
            "values[0]",
            _NUMBERS,
        ),
        Item(
            "Write ending(values), the last element.",
            "export/ending.py",
            "ending(values)",
            "values[-1]",
            _NUMBERS,
        ),
        Item(
            "Schreibe doubled_sum(values), die doppelte Summe.",
            "export/doubled.py",
            "doubled_sum(values)",
            "sum(values) * 2",
            _NUMBERS,
        ),
        Item(
            "export/span.py gets span(values), largest minus smallest.",
            "export/span.py",
            "span(values)",
            "max(values) - min(values)",
            _NUMBERS,
        ),
    ),
    later=4,
    later_corrections=(
        "no longer wrap it in a list",
        "forget the thing with the list",
        (
            "The exporter was rewritten last week, so the rule that export functions return the value in a list does not apply "
            "any more; hand the plain value back."
        ),
        "Das mit der Liste gilt nicht mehr",
    ),
)

TEXT_FAMILIES = (SHELL, SQL, NOTES)
FAMILIES = (
    DATES, CENTS, ENVELOPE, SENSORS, LABELS, PIECES, NAMES, MOTOR, HINTS, EMPTY, SHELL, SQL, NOTES, REPORTS, EXPORT,
)  # fmt: skip
