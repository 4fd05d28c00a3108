"""Checks averages.py; ends with 0 when everything is right."""

from averages import moving_average

CASES = [
    (([1.0, 2.0, 3.0, 4.0], 2), [1.5, 2.5, 3.5]),
    (([5.0, 7.0], 1), [5.0, 7.0]),
    (([3.0, 6.0, 9.0], 3), [6.0]),
    (([1.0, 2.0], 3), []),
    (([], 2), []),
]
for given, wanted in CASES:
    got = moving_average(*given)
    assert got == wanted, f"moving_average{given!r} returned {got!r}, expected {wanted!r}"
for size in (0, -1):
    try:
        got = moving_average([1.0], size)
    except ValueError:
        continue
    raise AssertionError(f"moving_average([1.0], {size}) returned {got!r} instead of raising ValueError")
print(f"{len(CASES) + 2} cases are right")
