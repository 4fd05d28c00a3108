"""Fitted graphs, kept one by one as they come, so that an interrupted comparison goes on where it was.

A fit is known by problem, seed, method and a digest of what it was made from: the table, and for our own methods the
source files and settings too. A changed table or changed code therefore never meets an old fit.
"""

import functools
import hashlib
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import hal9.holograph
from hal9.holograph.model.graph import MixedGraph

PEERS = ("dagma", "ges", "pc", "notears")
DATA_PEERS = ("ges", "pc", "boss", "grasp", "dagma", "notears", "lingam", "pgmpy")


# What talks to people, disks and minds has no part in a fit.
_APART = (
    "__main__",
    "drawing",
    "causes",
    "factor_columns",
    "command",
    "report",
    "store",
    "mind_answerer",
    "discovery",
    "resolution",
    "query_curves",
    "scenarios",
)


@functools.cache
def digest_of_code():
    """Of every module that takes part in our own fits."""
    found = hashlib.sha256()
    for path in sorted(Path(hal9.holograph.__file__).parent.rglob("*.py")):
        if path.stem not in _APART:
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def digest_of(data, *more):
    """Of a data set, and of whatever else a fit depends on."""
    found = hashlib.sha256(np.ascontiguousarray(data.values).tobytes())
    found.update(repr((data.truth.names, sorted(data.truth.directed), more)).encode())
    return found.hexdigest()[:12]


class Fits:
    """A file of JSON lines, one per fit, appended to."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.known = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                # A process that was killed may have left half a line.
                if line.endswith("}"):
                    entry = json.loads(line)
                    self.known[self._key(entry)] = entry

    @staticmethod
    def _key(entry):
        return entry["problem"], entry["seed"], entry["method"], entry["digest"]

    def get(self, problem, seed, method, digest):
        """The fit, or None."""
        return self.known.get((problem, seed, method, digest))

    def add(self, entry):
        """Keep a fit for good."""
        entry = {**entry, "at": time.strftime("%Y-%m-%dT%H:%M:%S")}
        with self.path.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
        self.known[self._key(entry)] = entry


def as_entry(graph):
    """A graph as plain data."""
    return {"directed": sorted(graph.directed), "bidirected": sorted(sorted(p) for p in graph.bidirected)}


def as_graph(names, entry):
    """The inverse of `as_entry`."""
    directed = frozenset((a, b) for a, b in entry["directed"])
    return MixedGraph(names, directed, frozenset(frozenset(p) for p in entry["bidirected"]))


def fit_peers(fits, python, problem, sets, *, limit, give_up, peers=PEERS):
    """Fit what is missing of every peer; after `give_up` fits over the limit, its further seeds are left out."""
    script = Path(__file__).with_name("peers.py")
    with tempfile.TemporaryDirectory() as folder:
        for seed, data in sets.items():
            np.savez(Path(folder) / f"{seed}.npz", x=data.values, discrete=data.discrete)
        for peer in peers:
            digests = {seed: digest_of(data) for seed, data in sets.items()}
            stored = {seed: fits.get(problem, seed, peer, digests[seed]) for seed in sets}
            missing = [seed for seed, entry in stored.items() if entry is None]
            over = sum("over" in entry for entry in stored.values() if entry)
            if not missing or over >= give_up:
                continue
            files = [str(Path(folder) / f"{seed}.npz") for seed in missing]
            with subprocess.Popen(
                [python, str(script), peer, str(limit), *files],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as child:
                for line in child.stdout:
                    entry = json.loads(line)
                    seed = int(entry.pop("file"))
                    fits.add(
                        {"problem": problem, "seed": seed, "method": peer, "digest": digests[seed], **entry}
                    )
                    print(f"  {problem} {peer} {seed}: {entry['seconds']:.1f} s", flush=True)
                    over += "over" in entry
                    if over >= give_up:
                        child.terminate()
                        break
