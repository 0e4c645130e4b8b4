"""``mlp-analyzer report``: the whole result of an analysis."""

from __future__ import annotations

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_json
from analyzer_service.cli.report_view import emit_report


def command(
    *,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Show segment sizes and challenges."""
    with connected(server=server, store=store) as analyzer:
        report = analyzer.report(analysis_id=analysis)
    if json:
        emit_json(report)
    else:
        emit_report(report)
