"""``mlp-analyzer status``: the accounting of a store."""

from __future__ import annotations

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table
from analyzer_service.domain import StoreStatus


def command(
    *,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Show what came in and where it went."""
    with connected(server=server, store=store) as analyzer:
        found = analyzer.status()
    if json:
        emit_json(found)
    else:
        _emit(found)


def _emit(found: StoreStatus) -> None:
    last = found.last_analysis
    emit_facts(
        {
            "version": f"{found.version} (engine {found.engine_version}, "
            f"schema {found.schema_version})",
            "store": found.store,
            "settled": f"{found.settled_days} days, newest {found.newest_settled_day or '-'}",
            "watermark": found.watermark,
            "users": found.users,
            "attempts": found.attempts,
            "failures": f"{found.failures} where they started, {found.propagated} passed on",
            "without user": found.without_user,
            "unmapped": found.unmapped,
            "unknown stage": found.unknown_stage,
            "last analysis": last
            and f"{last.analysis_id} {last.status} {last.created_time:%F %T}Z",
        }
    )
    emit_table(
        ("source", "#received", "#stored", "#rejected", "#out of range", "#signals"),
        (
            (one.source, one.received, one.stored, one.rejected, one.out_of_range, one.signals)
            for one in found.sources
        ),
    )
    if found.rejected_by_reason:
        emit_table(("rejected because", "#records"), found.rejected_by_reason.items())
