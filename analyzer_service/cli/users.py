"""``mlp-analyzer users``: users with segment and stage-wise bottlenecks."""

from __future__ import annotations

from typing import Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import collect, connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table, length
from analyzer_service.domain import Bottleneck, BottleneckStatus, Segment, UserReport
from analyzer_service.report import user_document


def command(
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Show this one: 32 hex digits.")
    ] = None,
    segment: Annotated[Segment | None, typer.Option(help="Only this segment.")] = None,
    limit: options.Limit = 50,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List users, or show one (operator role)."""
    with connected(server=server, store=store) as analyzer:
        if user is not None:
            _emit_one(analyzer.get_user(user, analysis_id=analysis), json=json)
            return
        items, total = collect(
            lambda size, token: analyzer.list_users(
                analysis_id=analysis, segment=segment, page_size=size, page_token=token
            ),
            limit,
        )
    if json:
        emit_json({"total": total, "users": [user_document(item) for item in items]})
        return
    emit_table(
        ("=user", "=segment", "#member", "held up in"),
        (
            (
                item.segment.user,
                item.segment.segment + ("?" if item.segment.borderline else ""),
                f"{item.segment.membership:.2f}",
                ", ".join(dict.fromkeys(one.stage.replace("_", " ") for one in _held_up(item)))
                or None,
            )
            for item in items
        ),
        title=f"{len(items)} of {total} users (?: borderline)",
    )


def _held_up(report: UserReport) -> list[Bottleneck]:
    return [one for one in report.bottlenecks if one.status is BottleneckStatus.BOTTLENECK]


def _emit_one(report: UserReport, *, json: bool) -> None:
    if json:
        emit_json(user_document(report))
        return
    emit_facts(
        {
            "user": report.segment.user,
            "segment": report.segment.segment,
            "membership": report.segment.membership,
            "borderline": "yes" if report.segment.borderline else "no",
        }
    )
    emit_table(
        ("=stage", "challenge", "#lost", "#share"),
        (
            (
                one.stage,
                one.challenge_id or one.status.replace("_", " "),
                length(one.time_lost_seconds),
                f"{one.share_of_time:.1%}",
            )
            for one in report.bottlenecks
        ),
    )
    emit_table(("feature", "#value"), sorted(report.segment.features.items()))
