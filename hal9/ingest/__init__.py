"""Runs of agents out of the files that their programs write: formats only, nothing is learned here."""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.ingest.masking import mask_secrets
    from hal9.ingest.reading import Progress, ReadReport, read_runs
    from hal9.ingest.records import Run, RunStep

__all__ = ["Progress", "ReadReport", "Run", "RunStep", "mask_secrets", "read_runs"]

__getattr__ = lazy_names(
    __name__,
    {
        "masking": ("mask_secrets",),
        "reading": ("Progress", "ReadReport", "read_runs"),
        "records": ("Run", "RunStep"),
    },
)
