"""Checks slugs.py; ends with 0 when everything is right."""

from slugs import slugify

CASES = {
    "Hello, World!": "hello-world",
    "  Rock & Roll -- 1999  ": "rock-roll-1999",
    "": "",
    "---": "",
    "already-a-slug": "already-a-slug",
    "C++ in 21 days": "c-in-21-days",
    "UPPER_case_Snake": "upper-case-snake",
}
for given, wanted in CASES.items():
    got = slugify(given)
    assert got == wanted, f"slugify({given!r}) returned {got!r}, expected {wanted!r}"
print(f"{len(CASES)} cases are right")
