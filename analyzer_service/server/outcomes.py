"""The row of ``errors.OUTCOMES`` that applies to an error: its own class's or the nearest above."""

from __future__ import annotations

from analyzer_service.errors import OUTCOMES, AnalyzerError


def outcome_of(error: AnalyzerError) -> tuple[str, int]:
    """Return the gRPC status name and the exit code of an error."""
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)
