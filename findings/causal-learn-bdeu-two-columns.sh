#!/usr/bin/env bash
# causal-learn 0.1.4.8: GES with the BDeu score joins no two variables of a table with two columns, however much they depend.
#
# Expected: two columns that agree in nine rows of ten, 1,000 rows, are joined, as they are with the BIC score and by their own mutual
#           information; and one more column that has nothing to do with them changes nothing.
# Seen:     no edge and no warning. The default prior expects one parent a variable, which for two columns makes "has no parent" and "has
#           a parent" scores of minus infinity and not-a-number; nothing is better than not-a-number, so no edge is ever tried further.
#           With a third column of noise the same two are joined. A table of pairs (the usual test of directions) comes out empty.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check causal-learn==0.1.4.8 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

import numpy as np

warnings.filterwarnings("ignore")
from causallearn.score.LocalScoreFunction import local_score_BDeu
from causallearn.search.ScoreBased.GES import ges

print("causal-learn", version("causal-learn"), "numpy", np.__version__)
random = np.random.default_rng(1)
first = random.integers(0, 2, 1000)
second = np.where(random.random(1000) < 0.9, first, 1 - first)
noise = random.integers(0, 2, 1000)
pair = np.column_stack([first, second]).astype(float)
three = np.column_stack([first, second, noise]).astype(float)
print(f"the two columns agree in {np.mean(first == second):.1%} of the rows")


def found(table, score):
    edges = ges(table, score_func=score)["G"].get_graph_edges()
    return sorted(f"{edge.get_node1().get_name()} - {edge.get_node2().get_name()}" for edge in edges)


seen = {}
for name, table in (("two columns", pair), ("and a third of noise", three)):
    for score in ("local_score_BDeu", "local_score_BIC"):
        seen[name, score] = found(table, score)
        print(f"{name:20} {score:16} edges: {seen[name, score]}")
scores = {parents: float(np.ravel(local_score_BDeu(pair, 1, list(parents)))[0]) for parents in ((), (0,))}
print("BDeu of the second column: without a parent", scores[()], "with the first as parent", scores[0,])
same = (
    seen["two columns", "local_score_BDeu"] == []
    and len(seen["two columns", "local_score_BIC"]) == 1
    and seen["and a third of noise", "local_score_BDeu"] == seen["two columns", "local_score_BIC"]
    and not np.isfinite(scores[()]) and np.isnan(scores[0,])
)
sys.exit(0 if same else 1)
PY
"$folder/venv/bin/python" "$folder/try.py"
