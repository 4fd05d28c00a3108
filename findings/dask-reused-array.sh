#!/usr/bin/env bash
# dask.distributed 2026.8.0: a NumPy array that is changed after submit() changes what was submitted, and what others get for it later.
#
# Expected: submit() returns a future for the arguments as they are now: a buffer can be filled anew for the next call. (A list can.)
# Seen:     the task's key is made from the array's content at once, but the array is sent later, by another thread: of five calls over one
#           buffer all compute the last content. The wrong results stay under the right keys: while one of the futures lives,
#           the first content, submitted again and not touched, is answered with another content's result.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check distributed==2026.8.0 dask==2026.8.0 numpy 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from distributed import Client, LocalCluster


def total(values):
    return float(sum(values))


def reused(client, buffer):
    """Five calls over one buffer, filled with 1 … 5; then the first content again, in an object of its own."""
    futures = []
    for number in range(1, 6):
        for place in range(3):
            buffer[place] = number
        futures.append(client.submit(total, buffer))
    results = client.gather(futures)
    fresh = type(buffer)([1.0] * 3) if isinstance(buffer, list) else np.ones(3)
    return results, client.submit(total, fresh).result(), futures


if __name__ == "__main__":
    print("distributed", version("distributed"), "numpy", np.__version__)
    expected = [3.0, 6.0, 9.0, 12.0, 15.0]
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        listed, listed_again, kept = reused(client, [0.0] * 3)
        arrays, arrays_again, kept_too = reused(client, np.zeros(3))
    print("expected:", expected, "and the first again: 3.0")
    print("list:    ", listed, "and the first again:", listed_again)
    print("array:   ", arrays, "and the first again:", arrays_again)
    sys.exit(0 if listed == expected and listed_again == 3.0 and arrays != expected and arrays_again != 3.0 else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" 2>/dev/null
