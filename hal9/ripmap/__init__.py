"""Which files and symbols of a repository does a task need? Ranked without a language model, drawn within a budget."""

from hal9.ripmap.history import History
from hal9.ripmap.index import Index
from hal9.ripmap.opening import open_index, open_revision
from hal9.ripmap.model import Commit, Definition, FileRecord, Import, Reference, Role, StringLiteral
from hal9.ripmap.settings import IndexSettings

__all__ = [
    "Commit",
    "Definition",
    "FileRecord",
    "History",
    "Import",
    "Index",
    "IndexSettings",
    "Reference",
    "Role",
    "StringLiteral",
    "open_index",
    "open_revision",
]
