"""Runs of agents out of the files that their programs write: formats only, nothing is learned here."""

from hal9.ingest.masking import mask_secrets
from hal9.ingest.reading import Progress, ReadReport, read_runs
from hal9.ingest.records import Run, RunStep

__all__ = ["Progress", "ReadReport", "Run", "RunStep", "mask_secrets", "read_runs"]
