"""``mlp-analyzer review``: say something of a challenge, or that something was done about it."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.lives import emit_life
from analyzer_service.domain import Segment
from analyzer_service.lives import ReviewDraft, ReviewKind


def command(
    *,
    challenge: Annotated[str, typer.Argument(metavar="ID", help="A challenge of the analysis.")],
    kind: Annotated[ReviewKind, typer.Argument(metavar="KIND", help="What to say of it.")],
    comment: Annotated[str, typer.Option(help="In your words; dismissing needs a reason.")] = "",
    reviewer: Annotated[
        str | None, typer.Option(help="Who says so; unset: the account's name.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="intervene: from when on users met what was done."),
    ] = None,
    segment: Annotated[
        list[Segment] | None,
        typer.Option(metavar="SEGMENT", help="intervene: whom it touched; unset: everybody."),
    ] = None,
    analysis: options.AnalysisId = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Confirm, acknowledge, dismiss, comment, reopen, or record an intervention (operator role)."""
    draft = ReviewDraft(
        kind=kind,
        reviewer=getpass.getuser() if reviewer is None else reviewer,
        comment=comment,
        effective_time=options.instant(since, "--since"),
        segments=tuple(segment or ()),
    )
    with connected(server=server, store=store) as analyzer:
        life = analyzer.review_challenge(challenge, draft, analysis_id=analysis)
    emit_life(life, json=json)
