"""Options that several commands share, each declared once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from analyzer_service.errors import InvalidInputError, RuleSetError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Server = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Ask this service. [default: MLP_ANALYZER_SERVER or 127.0.0.1:50051]",
        show_default=False,
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Open this store instead, if nobody has it open.",
        show_default=False,
    ),
]
AnalysisId = Annotated[
    str,
    typer.Option("--analysis", metavar="ID", help="Of this analysis; unset: the newest."),
]
Limit = Annotated[int, typer.Option(min=0, help="Show at most so many; 0: all.")]
Endpoint = Annotated[str, typer.Option(metavar="HOST:PORT", help="OTLP/gRPC receiver to send to.")]
Seed = Annotated[
    int | None,
    typer.Option(help="Makes another world; unset: the scenario's own.", show_default=False),
]


def instant(text: str | None, option: str) -> datetime | None:
    """Return the instant an option names; without a zone it is UTC.

    Raises:
        InvalidInputError: The text is no ISO 8601 date or time.
    """
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{option} {text} is not a time.",
            hint="Write it as 2026-01-05 or 2026-01-05T00:00Z.",
            field=option.removeprefix("--").replace("-", "_"),
        ) from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def rule_set(text: str) -> tuple[str, str]:
    """Return the name of a rule set and, where a file is meant, its text.

    Raises:
        RuleSetError: The file cannot be read.
    """
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"} and len(path.parts) < 2:  # noqa: PLR2004 - a bare name
        return text, ""
    try:
        return text, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleSetError(
            f"{text} cannot be read: {error}.",
            hint="Name a shipped rule set (paper, calibrated) or a YAML file that exists.",
            field="rules",
        ) from error
