#!/usr/bin/env bash
# A neuron defined in Python, with functions as tools, is given a question by name.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(mktemp -d)"
export HAL9_HOME="$folder/home"
trap 'hal9 stop --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
hal9 init "$HAL9_HOME"
cp "$here/l2_sql.py" "$HAL9_HOME/neurons/"
hal9 neuron list

mkdir "$folder/shop" && cd "$folder/shop"
python - <<'PYTHON'
import sqlite3

connection = sqlite3.connect("shop.db")
with connection:
    connection.execute("CREATE TABLE orders (customer TEXT, cents INTEGER)")
    rows = [("Ada", 1200), ("Grace", 900), ("Ada", 300), ("Linus", 1400)]
    connection.executemany("INSERT INTO orders VALUES (?, ?)", rows)
connection.close()
PYTHON

hal9 up --detach
hal9 submit --wait --to l2-sql --workspace . "Which customer spent most?"
