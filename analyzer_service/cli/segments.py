"""``mlp-analyzer segments``: the clusters of an analysis."""

from __future__ import annotations

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_json, emit_table


def command(
    *,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Show the segments and what sets them apart."""
    with connected(server=server, store=store) as analyzer:
        found = analyzer.list_segments(analysis_id=analysis)
    if json:
        emit_json({"segments": found})
        return
    features = sorted({name for one in found for name in one.centroid})
    emit_table(
        ("", *(f"#{one.segment}" for one in found)),
        (
            ("users", *(one.users for one in found)),
            *((name, *(one.centroid.get(name) for one in found)) for name in features),
        ),
    )
