"""``mlp-analyzer judge``: verdicts on a plain table of attempts, by the service's code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_json, emit_table, say

if TYPE_CHECKING:
    from analyzer_service.analysis.attempted import Judged
    from analyzer_service.cli.attempt_table import AttemptTable
    from analyzer_service.domain import SignalCounts, Verdict


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV or Parquet: signal, segment, user, attempts, failures."
        ),
    ],
    *,
    rules: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Judge by this rule set.")
    ] = "calibrated",
    experts: Annotated[
        int | None,
        typer.Option(min=0, help="All experts, also those not in the file.", show_default=False),
    ] = None,
    intermediates: Annotated[
        int | None, typer.Option(min=0, help="All intermediates.", show_default=False)
    ] = None,
    beginners: Annotated[
        int | None, typer.Option(min=0, help="All beginners.", show_default=False)
    ] = None,
    affected: Annotated[
        bool,
        typer.Option("--affected", help="Add how probably a user who did so much is affected."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Judge the signals of a plain table."""
    from analyzer_service.analysis.attempted import judge_attempts  # noqa: PLC0415
    from analyzer_service.analysis.rules import load_rule_set  # noqa: PLC0415
    from analyzer_service.analysis.verdicts import judge  # noqa: PLC0415
    from analyzer_service.cli.attempt_table import read_attempts  # noqa: PLC0415
    from analyzer_service.domain import Segment  # noqa: PLC0415

    rule_set = load_rule_set(rules)
    sizes = {
        Segment.EXPERT: experts,
        Segment.INTERMEDIATE: intermediates,
        Segment.BEGINNER: beginners,
    }
    table = read_attempts(file, sizes)
    judged = judge_attempts([(counts,) for counts in table.counts], rule_set)
    verdicts = {v.signal: v for v in judge(table.counts, rule_set, judged=judged)}
    signals = [
        _signal(counts, verdicts.get(counts.signal), judged.get(counts.signal), affected=affected)
        for counts in table.counts
    ]
    document = {
        "rule_set": rule_set.name,
        "version": rule_set.version,
        "segments": table.sizes,
        "total": len(signals),
        "signals": signals,
    }
    _remark(table)
    if json:
        emit_json(document)
    else:
        _emit(signals)


def _signal(
    counts: SignalCounts, verdict: Verdict | None, judged: Judged | None, *, affected: bool
) -> dict[str, Any]:
    """Return what is said of one signal; ``verdict`` is none unless a kind earned a grade."""
    from analyzer_service.analysis.calibrated import Q  # noqa: PLC0415
    from analyzer_service.domain import RATED_SEGMENTS, Grade  # noqa: PLC0415

    graded = verdict is not None and verdict.grade is not Grade.INSUFFICIENT
    document: dict[str, Any] = {
        "signal": counts.signal.signal,
        "verdict": verdict.kind if verdict is not None and graded else "none",
        "grade": verdict.grade if verdict is not None else "none",
        "probability": verdict.probability if verdict is not None else 0.0,
        "segments": {
            segment: {
                "users": counts.rated[segment].n,
                "exposed": counts.exposed[segment].n,
                "failed": counts.exposed[segment].k,
            }
            for segment in RATED_SEGMENTS
        },
        "missing": verdict.missing if verdict is not None else "",
    }
    if verdict is not None and Q in verdict.thresholds:
        document["q"] = verdict.thresholds[Q]
    if judged is not None:
        _add_judged(document, judged, affected=affected)
    return document


def _add_judged(document: dict[str, Any], judged: Judged, *, affected: bool) -> None:
    probabilities = {
        rule.kind: p for rule, p in zip(judged.rules, judged.probabilities, strict=True)
    }
    document["probability"] = judged.probabilities[judged.best]
    document["likeliest"] = judged.rules[judged.best].kind
    document["probabilities"] = {
        **probabilities,
        "none": round(max(1 - sum(probabilities.values()), 0.0), 9),
    }
    for segment, share in judged.shares.items():
        document["segments"][segment] |= {
            "affected_share": share.share,
            "affected_low": share.low,
            "affected_high": share.high,
        }
        if affected:
            document["segments"][segment]["affected"] = [
                {"attempts": attempts, "failures": failures, "probability": probability}
                for attempts, failures, probability in judged.affected(segment)
            ]


def _remark(table: AttemptTable) -> None:
    if table.unrated_rows:
        say(f"{table.unrated_rows} rows of unrated users stay out of the verdicts.")


def _emit(signals: list[dict[str, Any]]) -> None:
    emit_table(
        ("signal", "verdict", "grade", "#probability", "#expert", "#intermediate", "#beginner"),
        (
            (
                one["signal"],
                one["verdict"],
                one["grade"],
                f"{one['probability']:.2f}",
                *(_share(segment) for segment in one["segments"].values()),
            )
            for one in signals
        ),
    )
    for one in signals:
        if one["missing"]:
            say(f"{one['signal']}: {one['missing']}")


def _share(segment: Mapping[str, Any]) -> str:
    """Return the affected share, or how many of the exposed failed where it was not judged."""
    if "affected_share" in segment:
        return f"{segment['affected_share']:.0%}"
    return f"{segment['failed']}/{segment['exposed']}"
