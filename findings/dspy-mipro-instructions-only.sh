#!/usr/bin/env bash
# dspy 3.4.1: MIPROv2 over instructions alone runs the program over the training set for demos that nobody asked for.
#
# Expected: with 0 bootstrapped and 0 labelled demos and no proposer that looks at demos, the program is run where candidates are judged.
# Seen:     before that it is run over the whole training set once for nearly every candidate (as model calls: paid for), and the demos
#           are thrown away; a budget counted in trials is exceeded several times over.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dspy==3.4.1 optuna==5.0.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import contextlib
import io
import logging
import sys
from importlib.metadata import version

import dspy
from dspy.utils.dummies import DummyLM

logging.disable(logging.CRITICAL)
TRAIN, JUDGED, TRIALS = 30, 10, 3
runs = {"train": 0, "judged": 0}


class Student(dspy.Module):
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict(dspy.Signature("question -> answer", "Answer."))

    def forward(self, question):
        runs["train" if question.startswith("train") else "judged"] += 1
        return dspy.Prediction(answer="no")


def example(name):
    return dspy.Example(question=name, answer="yes").with_inputs("question")


def instructions():
    number = 0
    while True:
        number += 1
        yield {"proposed_instruction": f"Answer, variant {number}."}


mind = DummyLM([])
mind.answers = instructions()
dspy.configure(lm=mind)
tuner = dspy.MIPROv2(
    lambda example, made, trace=None: float(example.answer == made.answer),
    prompt_model=mind, task_model=mind, auto=None, num_candidates=5,
    max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=1, seed=1,
)
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    made = tuner.compile(
        Student(), trainset=[example(f"train {n}") for n in range(TRAIN)],
        valset=[example(f"judged {n}") for n in range(JUDGED)],
        num_trials=TRIALS, minibatch=False, program_aware_proposer=False, data_aware_proposer=False,
        tip_aware_proposer=False, fewshot_aware_proposer=False, seed=1,
    )
demos = len(made.predict.demos)
print(f"dspy {version('dspy')}: MIPROv2 over instructions alone (0 bootstrapped, 0 labelled demos, no few-shot-aware proposer)")
print(f"expected: the program is run on the validation examples only ({JUDGED} x {TRIALS + 1}), as no demo is wanted")
print(f"seen:     {runs['judged']} runs on validation examples, {runs['train']} on training examples for demos; the result holds {demos}")
sys.exit(0 if runs["train"] >= TRAIN and demos == 0 else 1)
PY
cd "$folder"
"$folder/venv/bin/python" try.py
