"""``mlp-analyzer challenges``: the challenges of an analysis, or one with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import collect, connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table, json_text, length
from analyzer_service.cli.report_view import KINDS
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Challenge,
    ChallengeKind,
    ChallengeSignal,
    Grade,
)
from analyzer_service.errors import InvalidInputError
from analyzer_service.report import challenge_document


def command(
    *,
    challenge: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this one with its evidence.")
    ] = None,
    kind: Annotated[ChallengeKind | None, typer.Option(help="Only this kind.")] = None,
    stage: Annotated[str, typer.Option(help="Only this stage.")] = "",
    grade: Annotated[Grade | None, typer.Option(help="Only this grade.")] = None,
    signals: Annotated[
        bool, typer.Option("--signals", help="List the signals behind the one (operator role).")
    ] = False,
    limit: options.Limit = 50,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List challenges by rank, or show one with its evidence."""
    if signals and challenge is None:
        raise InvalidInputError(
            "--signals needs a challenge.", hint="Name one: challenges ID --signals.", field="id"
        )
    with connected(server=server, store=store) as analyzer:
        if challenge is not None and signals:
            found, total = collect(
                lambda size, token: analyzer.list_challenge_signals(
                    challenge, analysis_id=analysis, page_size=size, page_token=token
                ),
                limit,
            )
            _emit_signals(found, total, json=json)
        elif challenge is not None:
            _emit_one(analyzer.get_challenge(challenge, analysis_id=analysis), json=json)
        else:
            items, total = collect(
                lambda size, token: analyzer.list_challenges(
                    analysis_id=analysis,
                    kind=kind,
                    stage=stage,
                    grade=grade,
                    page_size=size,
                    page_token=token,
                ),
                limit,
            )
            _emit_list(items, total, json=json)


def _emit_list(items: list[Challenge], total: int, *, json: bool) -> None:
    if json:
        emit_json({"total": total, "challenges": [challenge_document(item) for item in items]})
        return
    emit_table(
        ("#rank", "=kind", "where, and id", "=grade", "#users", "#lost"),
        (
            (
                item.rank,
                KINDS.get(item.kind, item.kind),
                f"{item.signal.stage}\n{item.signal.component}: {item.signal.signal}\n"
                f"{item.challenge_id}",
                item.grade,
                item.users_affected,
                length(item.time_lost_seconds),
            )
            for item in items
        ),
        title=f"{len(items)} of {total} challenges",
    )


def _emit_one(item: Challenge, *, json: bool) -> None:
    if json:
        emit_json({**challenge_document(item), "evidence_query": item.evidence_query})
        return
    emit_facts(
        {
            "challenge": item.challenge_id,
            "kind": item.kind,
            "stage": item.signal.stage,
            "component": item.signal.component,
            "signal": f"{item.signal.signal} ({item.signal.kind})",
            "rule": item.rule,
            "grade": item.grade,
            "probability": item.probability,
            "users affected": item.users_affected,
            "time lost": length(item.time_lost_seconds),
            "traces": ", ".join(item.example_trace_ids) or None,
        }
    )
    shares, details = split_evidence(item.evidence)
    emit_table(
        ("segment", "#affected", "#of", "#share", "#95 % interval"),
        (
            (name, one["k"], one["n"], _percent(one.get("share")), _interval(one))
            for name, one in shares.items()
        ),
    )
    emit_facts({name: _compact(value) for name, value in sorted(details.items())})
    typer.echo(f"\n{item.evidence_query}")


def split_evidence(
    evidence: Mapping[str, object],
) -> tuple[dict[str, Mapping[str, Any]], dict[str, object]]:
    """Return the counts per segment, experts first, and everything else."""
    found = evidence.get("segments", evidence)
    segments = found if isinstance(found, Mapping) else {}
    shares = {name.value: segments[name] for name in RATED_SEGMENTS if name in segments}
    rest = {name: value for name, value in evidence.items() if name not in {*shares, "segments"}}
    return shares, rest


def _percent(share: object) -> str | None:
    return f"{share:.1%}" if isinstance(share, int | float) else None


def _interval(counts: Mapping[str, Any]) -> str | None:
    if "low" not in counts or "high" not in counts:
        return None
    return f"{counts['low']:.1%} - {counts['high']:.1%}"


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _emit_signals(items: list[ChallengeSignal], total: int, *, json: bool) -> None:
    if json:
        emit_json({"total": total, "signals": items})
        return
    emit_table(
        ("=time", "=user", "what"),
        (
            (
                item.event_time,
                item.user,
                f"{item.component}: {item.action} {item.error_type}".rstrip(),
            )
            for item in items
        ),
        title=f"{len(items)} of {total} signals",
    )
