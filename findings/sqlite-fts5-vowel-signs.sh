#!/usr/bin/env bash
# SQLite's FTS5 (pinned here: apsw 3.54.1.0): words of Hindi, Tamil and their like are taken apart at every vowel sign, so other words are found.
#
# Expected: the default tokenizer is called unicode61 and "separates at spaces and punctuation"; a word finds the rows that have that word.
# Seen:     its word characters are letters and numbers; vowel signs are neither (categories Mn and Mc) and separate like spaces. कौन (who)
#           and कान (ear) are both kept as क and न, so either finds the other's rows, and no ranking can tell them apart. European
#           languages are as expected, accents in either form included, so tests pass. With tokenize = "unicode61
#           categories 'L* N* Co M*'" words stay whole.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check apsw==3.54.1.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys

import apsw

ROWS = {
    1: "कौन आया",  # who came
    2: "कान में दर्द",  # a pain in the ear
    3: "किताब मेज पर है",  # the book is on the table
    4: "दिन अच्छा है",  # the day is good
    5: "दान करो",  # give alms
    6: "காடு பெரியது",  # the forest is large
    7: "கூடு சிறியது",  # the nest is small
    8: "le café est fermé",
}
WORDS = {"कौन": 1, "कान": 2, "दिन": 4, "दान": 5, "காடு": 6, "கூடு": 7, "café": 8, "cafe\u0301": 8}
database = apsw.Connection(":memory:")
print("apsw", apsw.apsw_version(), "SQLite", apsw.sqlite_lib_version())


def found(tokenizer):
    name = "whole" if tokenizer else "plain"
    database.execute(f"CREATE VIRTUAL TABLE {name} USING fts5(text{tokenizer})")
    for number, text in ROWS.items():
        database.execute(f"INSERT INTO {name} (rowid, text) VALUES (?, ?)", (number, text))
    database.execute(f"CREATE VIRTUAL TABLE {name}_v USING fts5vocab({name}, row)")
    print("  kept:", *(row[0] for row in database.execute(f"SELECT term FROM {name}_v")))
    answers = {}
    for word, right in WORDS.items():
        answers[word] = [row[0] for row in database.execute(f"SELECT rowid FROM {name}(?) ORDER BY rowid", (f'"{word}"',))]
        print(f"  {word}: rows {answers[word]}, the word is in row {right}")
    return answers


print("the default tokenizer")
plain = found("")
print("with marks as characters of words")
whole = found(""", tokenize = "unicode61 categories 'L* N* Co M*'\"""")
right = {word: [row] for word, row in WORDS.items()}
wrong = [word for word in WORDS if plain[word] != right[word]]
print(f"seen: {len(wrong)} of {len(WORDS)} words find rows that do not have them: {', '.join(wrong)}")
if whole != right or wrong != ["कौन", "कान", "दिन", "दान", "காடு", "கூடு"]:
    sys.exit("this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
