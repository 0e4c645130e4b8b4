"""``mlp-analyzer status``: the accounting of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import typer

from analyzer_service.accounts import PathStatus, SourceStatus
from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table
from analyzer_service.domain import StoreStatus

ALL: Final = "all services"
LOST: Final = "lost"


def command(
    *,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Show what came in, where it went, and what was lost on the way."""
    with connected(server=server, store=store) as analyzer:
        found = analyzer.status()
    if json:
        emit_json(found)
    else:
        _emit(found)


def _emit(found: StoreStatus) -> None:
    _emit_settled(found)
    rows = list(_with_totals(found))
    _emit_arrivals(rows)
    _emit_signals(rows)
    if found.rejected_by_reason:
        emit_table(
            ("service", "kind", "rejected because", "#records"),
            (
                (_name(one), one.source, reason, records)
                for one in found.services
                for reason, records in one.rejected_by_reason.items()
            ),
            title="Rejected, record by record (table rejected)",
        )
    if found.turned_away:
        emit_table(
            ("way in", "kind", "reason", "#requests", "#records"),
            (
                (one.way, one.source, one.reason, one.requests, one.records or "-")
                for one in found.turned_away
            ),
            title="Requests turned away, and metrics not kept",
        )
    _emit_path(found.path)


def _emit_settled(found: StoreStatus) -> None:
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


def _emit_arrivals(rows: Iterable[SourceStatus]) -> None:
    rows = list(rows)
    emit_table(
        ("service", "=kind", "#received", "#stored", "#duplicated", "#rejected", "#odd time"),
        (
            (
                *(one.service_name, one.source, one.received, one.stored, one.duplicated),
                *(one.rejected, one.out_of_range),
            )
            for one in rows
        ),
        title="What arrived",
    )
    uncounted = sum(one.uncounted for one in rows if one.service_name == ALL)
    if uncounted:
        typer.echo(f"Of what was received, {uncounted} came while this was being counted.")


def _emit_signals(rows: Iterable[SourceStatus]) -> None:
    emit_table(
        (
            *("service", "=kind", "#signals", "#no user", "#late", "#unmapped"),
            *("#odd stage", "#sampled"),
        ),
        (
            (
                *(one.service_name, one.source, one.signals, one.without_user, one.late),
                *(one.unmapped, one.unknown_stage, one.sampled),
            )
            for one in rows
        ),
        title="What became of it, as of the last settling",
    )


def _emit_path(path: Iterable[PathStatus]) -> None:
    path = list(path)
    if not path:
        typer.echo(
            "Lost before it arrived: unknown, no SDK or Collector has sent its counters"
            " (docs/accounting.md)."
        )
        return
    lost = [one for one in path if one.outcome == LOST]
    if lost:
        emit_table(
            ("by", "service", "component", "kind", "why", "#records"),
            (
                (one.hop, one.service_name, one.component, one.source, one.reason, one.records)
                for one in lost
            ),
            title="Lost before it reached us",
        )
    else:
        typer.echo("Lost before it arrived: nothing, say those that send their counters.")
    emit_table(
        ("by", "service", "component", "kind", "outcome", "#records"),
        (
            (
                *(one.hop, one.service_name, one.component, one.source),
                f"{one.outcome}: {one.reason}" if one.reason else one.outcome,
                one.records,
            )
            for one in path
            if one.outcome != LOST
        ),
        title="On its way to us",
    )


def _with_totals(found: StoreStatus) -> Iterator[SourceStatus]:
    for one in found.services:
        yield replace(one, service_name=_name(one))
    for one in found.sources:
        yield replace(one, service_name=ALL)


def _name(one: SourceStatus) -> str:
    return one.service_name or "(no name)"
