"""``mlp-analyzer lives``: how challenges stand over all runs, or one with its story."""

from __future__ import annotations

from typing import Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table
from analyzer_service.cli.report_view import KINDS
from analyzer_service.lives import Comparison, Life, LifeState, Review, Sighting


def command(
    *,
    challenge: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Tell the story of this one.")
    ] = None,
    state: Annotated[
        list[LifeState] | None,
        typer.Option(metavar="STATE", help="Only this state; may be given again."),
    ] = None,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List how challenges stand over all runs, or tell the story of one."""
    with connected(server=server, store=store) as analyzer:
        if challenge is not None:
            life, events = analyzer.get_life(challenge, analysis_id=analysis)
            _emit_story(life, events, json=json)
            return
        lives = analyzer.list_lives(analysis_id=analysis, states=tuple(state or ()))
    if json:
        emit_json({"total": len(lives), "lives": [life_document(life) for life in lives]})
        return
    emit_table(
        ("=state", "=since", "=kind", "where, and id", "#runs"),
        (
            (
                life.state,
                life.since.date(),
                KINDS.get(life.kind, life.kind),
                f"{life.signal.stage}\n{life.signal.component}: {life.signal.signal}\n"
                f"{life.challenge_id}",
                life.runs,
            )
            for life in lives
        ),
        title=f"{len(lives)} challenges",
    )


def emit_life(life: Life, *, json: bool) -> None:
    """Print how one challenge stands."""
    if json:
        emit_json(life_document(life))
        return
    emit_facts(
        {
            "challenge": life.challenge_id,
            "place": life.place_id,
            "what": f"{life.signal.stage}, {life.signal.component}: {life.signal.signal}",
            "kind": life.kind,
            "state": life.state,
            "since": life.since,
            "why": life.cause,
            "reported": f"by {life.runs} runs, {life.first_seen.date()} to {life.last_seen.date()}",
            **_effect(life.comparison),
        }
    )


def _effect(found: Comparison | None) -> dict[str, object]:
    if found is None:
        return {}
    effect, rates = told(found).splitlines()
    return {"effect": effect, "": rates}


def life_document(life: Life) -> dict[str, object]:
    """Return a life as JSON-ready data; what it leans to stays inside."""
    names = (
        "place_id", "kind", "state", "since", "cause", "first_seen", "last_seen", "runs",
        "challenge_id", "confirmed", "intervention", "comparison",
    )  # fmt: skip
    return {
        **{name: getattr(life, name) for name in names},
        "signal_kind": life.signal.kind,
        "stage": life.signal.stage,
        "component": life.signal.component,
        "signal": life.signal.signal,
    }


def told(found: Comparison) -> str:
    """Return what became of an intervention in two lines."""
    words = f"{found.effect.replace('_', ' ')}: {found.change:+.1%} failures per attempt"
    words += f" [{found.low:+.1%}, {found.high:+.1%}]"
    words += f"\nfrom {found.touched_before:.1%} to {found.touched_after:.1%}"
    if found.untouched_before is not None and found.untouched_after is not None:
        words += f", untouched {found.untouched_before:.1%} to {found.untouched_after:.1%}"
    return words


def _emit_story(life: Life, events: tuple[Sighting | Review, ...], *, json: bool) -> None:
    if json:
        emit_json({**life_document(life), "events": events})
        return
    emit_life(life, json=False)
    emit_table(("=when", "what"), (_line(event) for event in events), title="Story")


def _line(event: Sighting | Review) -> tuple[object, str]:
    if isinstance(event, Review):
        words = f"{event.reviewer}: {event.kind}"
        if event.effective_time is not None:
            whom = ", ".join(event.segments) or "everybody"
            words += f" from {event.effective_time:%Y-%m-%d %H:%M} for {whom}"
        return event.review_time.date(), f"{words}; {event.comment}" if event.comment else words
    seen = f"{event.kind}, {event.grade}" if event.kind else "not reported"
    if event.comparison is not None:
        seen += f"\n{told(event.comparison)}"
    return event.window_end.date(), seen
