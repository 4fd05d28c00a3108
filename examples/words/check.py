"""Checks words.py; ends with 0 when everything is right."""

from words import count_words

CASES = {
    "The cat saw the dog": {"the": 2, "cat": 1, "saw": 1, "dog": 1},
    "": {},
    "  one\ttwo\nONE  ": {"one": 2, "two": 1},
    "x": {"x": 1},
}
for given, wanted in CASES.items():
    got = count_words(given)
    assert got == wanted, f"count_words({given!r}) returned {got!r}, expected {wanted!r}"
print(f"{len(CASES)} cases are right")
