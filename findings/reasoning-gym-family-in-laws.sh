#!/usr/bin/env bash
# reasoning-gym 0.1.25: family_relationships answers in-law questions (and niece, nephew) the wrong way round.
#
# Expected: "What is Mia to Edward?" asks what Mia is; for his son's wife that is no parent-in-law.
# Seen:     for parents, children, spouses, siblings the stored answer is what the first person is to the second, as asked. For in-laws it is
#           what the second is to the first: women are "father-in-law" of their own father-in-law, a right answer scores 0 and the
#           reversed one 1. A prompt tuned or a model trained on it learns to reverse in-laws.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check reasoning-gym==0.1.25 2>/dev/null
cat > "$folder/try.py" <<'PY'
import re
import sys
from importlib.metadata import version

import reasoning_gym

print(f"reasoning-gym {version('reasoning-gym')}")
data = reasoning_gym.create_dataset("family_relationships", size=400, seed=20)
WOMEN = {"mother", "wife", "daughter", "sister", "grandmother", "aunt", "niece", "mother-in-law"}
female = set(data.config.female_names)
right, reversed_ = {"in-law": 0, "other": 0}, {"in-law": 0, "other": 0}
shown = False
for item in data:
    question, answer = item["question"].strip().split("\n\n")[-1], item["answer"]
    found = re.match(
        r"(?:What is (\w+) to (\w+)|How is (\w+) related to (\w+)|What relation is (\w+) to (\w+))", question
    )
    if found is None:
        continue
    asked, other = [name for name in found.groups() if name]
    if (asked in female) == (other in female):
        continue  # only where a man and a woman are compared does the answer's own gender tell who is meant
    kind = "in-law" if "in-law" in answer else "other"
    meant = (answer in WOMEN) == (asked in female)
    (right if meant else reversed_)[kind] += 1
    if not meant and not shown:
        shown = True
        print(f"  {item['question'].strip()!r}\n  stored answer: {answer!r}, scored {data.score_answer(answer, item)}")
for kind in ("other", "in-law"):
    print(f"{kind}: {right[kind]} answers are about the person asked for, {reversed_[kind]} about the other one")
print("expected: all are about the person asked for; seen: every in-law answer of the questions that can tell is about the other")
sys.exit(0 if reversed_["in-law"] and not right["in-law"] and not reversed_["other"] else 1)
PY
"$folder/venv/bin/python" "$folder/try.py"
