"""Turns a job log (CSV, CSV.gz, Parquet) into telemetry with the log's own timestamps.

``log.py`` reads lines, ``mapping.py`` says what their columns mean, ``translate.py`` makes a span
of each, ``run.py`` sends them and remembers in ``state.py`` how far it came.
"""

from __future__ import annotations

from analyzer_service.replay.mapping import Mapping
from analyzer_service.replay.mapping_file import load_mapping, shipped_mappings
from analyzer_service.replay.run import ReplaySummary, RowProblem, replay
from analyzer_service.replay.state import ReplayState

__all__ = [
    "Mapping",
    "ReplayState",
    "ReplaySummary",
    "RowProblem",
    "load_mapping",
    "replay",
    "shipped_mappings",
]
