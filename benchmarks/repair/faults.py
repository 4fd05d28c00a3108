"""The seeded faults: one wrong line each, the symptom in a user's words, the package's own tests as check."""

from dataclasses import dataclass

__all__ = ["FAULTS", "PACKAGES", "Fault"]

PACKAGES = {
    "inflection": "0.5.1",
    "humanize": "4.9.0",
    "toolz": "0.12.1",
    "tabulate": "0.9.0",
    "more-itertools": "10.2.0",
    "boltons": "24.0.0",
    "cachetools": "5.3.3",
    "sqlparse": "0.5.0",
}
CHECKS = {
    "inflection": "python -m pytest -q -x test_inflection.py",
    "humanize": "PYTHONPATH=src python -m pytest -q -x -p no:warnings tests",
    "toolz": "python -m pytest -q -x toolz/tests/test_itertoolz.py toolz/tests/test_dicttoolz.py",
    "tabulate": "python -m pytest -q -x test",
    "more-itertools": "python -m pytest -q -x tests/test_more.py",
    "boltons": "python -m pytest -q -x --noconftest tests/test_iterutils.py tests/test_strutils.py tests/test_statsutils.py",
    "cachetools": "PYTHONPATH=src python -m pytest -q -x tests",
    "sqlparse": "python -m pytest -q -x tests",
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        good: lines as they stand in the release, once in the file.
        bad: what is put in their place; its `line` is what a model must have seen.
        symptom: what a user would write; names no file.
    """

    name: str
    package: str
    path: str
    good: str
    bad: str
    symptom: str

    @property
    def line(self) -> str:
        """The wrong line: the one of `bad` that `good` does not have."""
        good = set(self.good.split("\n"))
        return next(line for line in self.bad.split("\n") if line not in good).strip()

    @property
    def check(self) -> str:
        return CHECKS[self.package]


FAULTS = (
    Fault(
        "ordinal", "inflection", "inflection/__init__.py",
        "    if number % 100 in (11, 12, 13):", "    if number % 100 in (11, 12):",
        "ordinalize(13) and ordinalize(113) return '13rd' and '113rd'; they should be '13th' and '113th'.",
    ),
    Fault(
        "parameterize", "inflection", "inflection/__init__.py",
        r"""    string = re.sub(r"(?i)[^a-z0-9\-_]+", separator, string)""", r"""    string = re.sub(r"(?i)[^a-z0-9\-]+", separator, string)""",
        "parameterize('Allow_Under_Scores') turns underscores into dashes; they should stay as they are.",
    ),
    Fault(
        "underscore", "inflection", "inflection/__init__.py",
        '    word = word.replace("-", "_")\n    return word.lower()', '    word = word.replace("_", "-")\n    return word.lower()',
        "underscore('HTMLTidy') gives 'html-tidy' with a dash instead of an underscore, and so does everything built on it.",
    ),
    Fault(
        "intword", "humanize", "src/humanize/number.py",
        "            if float(format % chopped) == powers_difference:",
        "            if float(format % chopped) > powers_difference:",
        "intword(999_999) says '1000.0 thousand' where '1.0 million' is right; the same at each power.",
    ),
    Fault(
        "naturalsize", "humanize", "src/humanize/filesize.py",
        "        unit = base ** (i + 2)", "        unit = base ** (i + 1)",
        "naturalsize(3000) prints '3000.0 kB'; sizes come out a thousand times too large.",
    ),
    Fault(
        "naturaldelta", "humanize", "src/humanize/time.py",
        "        if 60 <= seconds < 120:", "        if 60 <= seconds < 90:",
        "A time difference of 100 seconds is called '1 minute' in some places where it used to read 'a minute'.",
    ),
    Fault(
        "apnumber", "humanize", "src/humanize/number.py",
        "    if not 0 <= value < 10:", "    if not 0 < value < 10:",
        "apnumber(0) returns '0'; Associated Press style wants the word 'zero'.",
    ),
    Fault(
        "partition_all", "toolz", "toolz/itertoolz.py",
        "            yield prev[:len(seq) % n]", "            yield prev[:len(seq) // n]",
        "partition_all(3, range(5)) loses elements of the last, shorter group.",
    ),
    Fault(
        "dissoc", "toolz", "toolz/dicttoolz.py",
        "        remaining.difference_update(keys)", "        remaining.intersection_update(keys)",
        "dissoc keeps just the keys it was told to remove when most of the dict's keys are to go.",
    ),
    Fault(
        "topk", "toolz", "toolz/itertoolz.py",
        "    return tuple(heapq.nlargest(k, seq, key=key))", "    return tuple(heapq.nsmallest(k, seq, key=key))",
        "topk(2, [1, 100, 10, 1000]) returns (1, 10) and should return (1000, 100).",
    ),
    Fault(
        "afterpoint", "tabulate", "tabulate/__init__.py",
        "                return len(string) - pos - 1", "                return len(string) - pos",
        "Columns of decimal numbers are shifted: integers and decimals in one column do not line up at the point.",
    ),
    Fault(
        "min_padding", "tabulate", "tabulate/__init__.py",
        "MIN_PADDING = 2", "MIN_PADDING = 1",
        "Columns are one character too narrow under their headers: the blanks beside a header are too few.",
    ),
    Fault(
        "divide", "more-itertools", "more_itertools/more.py",
        "        stop += q + 1 if i <= r else q", "        stop += q + 1 if i < r else q",
        "divide(3, range(7)) drops an element: dividing into uneven groups loses the last item.",
    ),
    Fault(
        "rlocate", "more-itertools", "more_itertools/more.py",
        "            return (len_iter - i - 1 for i in locate(reversed(iterable), pred))",
        "            return (len_iter - i for i in locate(reversed(iterable), pred))",
        "rlocate yields positions one too high for lists.",
    ),
    Fault(
        "zip_offset", "more-itertools", "more_itertools/more.py",
        "            staggered.append(islice(it, n, None))", "            staggered.append(islice(it, n + 1, None))",
        "With a positive offset, zip_offset skips one element too many.",
    ),
    Fault(
        "consecutive_groups", "more-itertools", "more_itertools/more.py",
        "        enumerate(iterable), key=lambda x: x[0] - ordering(x[1])",
        "        enumerate(iterable), key=lambda x: x[0] + ordering(x[1])",
        "consecutive_groups puts every number into a group of its own.",
    ),
    Fault(
        "backoff", "boltons", "boltons/iterutils.py",
        "        if cur > stop:\n            cur = stop\n    return", "        if cur > stop * 2:\n            cur = stop\n    return",
        "backoff(1, 10) ends at 16.0: the waiting times are no longer capped at the stop value.",
    ),
    Fault(
        "parse_int_list", "boltons", "boltons/strutils.py",
        "            output += list(range(min(range_limits), max(range_limits)+1))",
        "            output += list(range(min(range_limits), max(range_limits)))",
        "parse_int_list('1,3,5-8') lacks the 8: the last number of each range is missing.",
    ),
    Fault(
        "quantile", "boltons", "boltons/statsutils.py",
        "        idx = q / 1.0 * (n - 1)", "        idx = q / 1.0 * n",
        "The median of [2, 1, 3] is 2.5 instead of 2; other quantiles are off, too.",
    ),
    Fault(
        "mru", "cachetools", "src/cachetools/__init__.py",
        "            self.__order.move_to_end(key, last=False)", "            self.__order.move_to_end(key, last=True)",
        "MRUCache throws out the least recently used item first.",
    ),
    Fault(
        "maxsize", "cachetools", "src/cachetools/__init__.py",
        "            while self.__currsize + size > maxsize:", "            while self.__currsize + size >= maxsize:",
        "A cache with maxsize 2 never holds more than one item of size 1.",
    ),
    Fault(
        "remove_quotes", "sqlparse", "sqlparse/utils.py",
        "        val = val[1:-1]\n    return val", "        val = val[1:]\n    return val",
        'get_real_name and get_alias of a quoted identifier such as "foo" keep the closing quote.',
    ),
)  # fmt: skip
