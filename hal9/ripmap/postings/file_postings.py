"""What the ranker keeps of one file: its names and its words, made beside the extraction."""

from hal9.ripmap.postings.symbols import names_of_file
from hal9.ripmap.postings.words import words_of_file
from hal9.ripmap.records import FileRecord

__all__ = ["FACTS", "FACTS_VERSION", "facts_of_file", "names_part", "words_part"]

FACTS, FACTS_VERSION = "facts", 3
"""Name and version of the per-file artifact; they change with `names_of_file` and `words_of_file` only."""
_LENGTH = 8


def facts_of_file(record: FileRecord, text: str) -> bytes:
    """Names, then words, for the index's per-file cache."""
    names = names_of_file(record, text)
    return len(names).to_bytes(_LENGTH, "little") + names + words_of_file(record, text)


def names_part(facts: bytes) -> bytes:
    """What `names_of_file` made."""
    return facts[_LENGTH : _LENGTH + int.from_bytes(facts[:_LENGTH], "little")]


def words_part(facts: bytes) -> bytes:
    """What `words_of_file` made."""
    return facts[_LENGTH + int.from_bytes(facts[:_LENGTH], "little") :]
