"""An analysis' report as people read it: segment sizes, then the challenges stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import typer

from analyzer_service.cli.output import emit_table

STAGES: Final = ("data_collection", "feature_engineering", "model_training", "model_deployment")
"""The life cycle's order; other stages follow by name."""

KINDS: Final = {
    "education_training": "ET",
    "simplicity_of_platform": "SoP",
    "mixed": "MIXED",
}
_SEGMENTS: Final = ("expert", "intermediate", "beginner")


def stage_rank(stage: str) -> tuple[int, str]:
    """Return the sorting key of a stage."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def challenge_order(challenge: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the sorting key of a challenge: stage, kind, rule, component, signal."""
    return (
        stage_rank(challenge["stage"]),
        challenge["kind"],
        str(challenge["rule"]),
        challenge["component"],
        challenge["signal"],
    )


def emit_report(report: Mapping[str, Any]) -> None:
    """Print the report."""
    typer.echo(f"Window    {_window(report['window'])}")
    typer.echo(f"Rules     {_rules(report['rules'])}")
    users = report["users"]
    typer.echo(f"Users     {users['rated']} rated, {users['unrated']} with too little activity")
    sizes = ", ".join(f"{name} {count}" for name, count in report["segments"].items())
    typer.echo(f"Segments  {sizes}")
    challenges = sorted(report["challenges"], key=challenge_order)
    typer.echo(f"\n{_count(challenges)}\n")
    for stage in sorted({item["stage"] for item in challenges}, key=stage_rank):
        emit_table(
            ("=kind", "=rule", "component: signal", "#expert", "#interm.", "#beginner"),
            (_row(item) for item in challenges if item["stage"] == stage),
            title=stage.replace("_", " ").capitalize(),
        )
    if challenges:
        typer.echo(
            "ET: hard for those who lack experience, so teach. SoP: hard for everyone, so\n"
            "simplify the platform. Numbers: users affected / users that count."
        )


def _count(challenges: list[Any]) -> str:
    kinds = [KINDS.get(item["kind"], item["kind"]) for item in challenges]
    parts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    count = "1 challenge" if len(challenges) == 1 else f"{len(challenges)} challenges"
    return count + (f": {', '.join(parts)}" if parts else "")


def _row(challenge: Mapping[str, Any]) -> tuple[object, ...]:
    cells = []
    for segment in _SEGMENTS:
        counts = challenge["evidence"].get(segment)
        cells.append(f"{counts['k']}/{counts['n']}" if counts else "-")
    kind = KINDS.get(challenge["kind"], challenge["kind"])
    where = f"{challenge['component']}: {challenge['signal']}"
    return (kind, challenge["rule"], where, *cells)


def _window(window: Any) -> str:
    if isinstance(window, Mapping):
        return " to ".join(str(window[name]) for name in ("start", "end") if name in window)
    return str(window)


def _rules(rules: Any) -> str:
    if isinstance(rules, Mapping):
        return " ".join(str(value) for value in rules.values())
    return str(rules)
