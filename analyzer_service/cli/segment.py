"""``mlp-analyzer segment``: a plain table of users' weeks into segments, by the service's code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_json, emit_table, say
from analyzer_service.errors import InvalidInputError

if TYPE_CHECKING:
    from analyzer_service.analysis.proficiency_model import SegmentModel
    from analyzer_service.analysis.weekly_segments import WeeklySegments
    from analyzer_service.cli.week_table import WeekTable


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet: user, week, actions, distinct_actions, completion_seconds, "
            "minutes_per_session.",
        ),
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use this model as it is instead of learning one."),
    ] = None,
    model_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the last model here, as JSON.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A further feature, if the guard admits it; repeat."),
    ] = None,
    outcome: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Who was affected (0 or 1), for the guard alone to look at."
        ),
    ] = "",
    min_actions: Annotated[
        float, typer.Option(min=0, help="Users with fewer actions in all are Unrated.")
    ] = 0,
    json: options.Json = False,
) -> None:
    """Put the users of a plain table in segments, week by week."""
    from analyzer_service.analysis.weekly_segments import segment_weeks  # noqa: PLC0415
    from analyzer_service.cli.week_table import read_weeks  # noqa: PLC0415

    more = tuple(feature or ())
    table = read_weeks(file, more=more, outcome=outcome)
    given = _read_model(model) if model else None
    _guard(table, more)
    found = segment_weeks(table.observed, model=given, more=more, least_actions=min_actions)
    document = _document(found, table)
    if model_out is not None:
        model_out.write_text(_model_text(found.model), encoding="utf-8")
        say(f"The model is in {model_out}.")
    if json:
        emit_json(document)
    else:
        _emit(document)


def _read_model(path: Path) -> SegmentModel:
    import orjson  # noqa: PLC0415

    from analyzer_service.analysis.proficiency_model import SegmentModel  # noqa: PLC0415

    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidInputError(
            f"Model {path} cannot be read: {error}.",
            hint="Give a file that `mlp-analyzer segment FILE --model-out` wrote.",
            field="model",
        ) from None
    return SegmentModel.from_dict(document)


def _model_text(model: SegmentModel) -> str:
    from analyzer_service.cli.output import json_text  # noqa: PLC0415

    return json_text(model.to_dict()) + "\n"


def _guard(table: WeekTable, more: tuple[str, ...]) -> None:
    """Refuse features that may not make segments.

    Raises:
        InvalidInputError: the first that may not, and why.
    """
    import numpy as np  # noqa: PLC0415

    from analyzer_service.analysis.feature_guard import Candidate, admit  # noqa: PLC0415
    from analyzer_service.analysis.panel import panel_of  # noqa: PLC0415

    panel = panel_of(table.observed, more)
    known = table.affected
    affected = np.array([known.get(user, False) for user in panel.users]) if known else None
    for name in more:
        values = panel.values[..., panel.features.index(name)]
        admit(Candidate(name, values, panel.active(), affected))


def _document(found: WeeklySegments, table: WeekTable) -> dict[str, Any]:
    """Return everything that is printed, JSON-ready."""
    from analyzer_service.analysis.proficiency_model import MODEL_SEED  # noqa: PLC0415
    from analyzer_service.analysis.segment_change import (  # noqa: PLC0415
        drift,
        migrations,
        stability,
    )
    from analyzer_service.domain import RATED_SEGMENTS  # noqa: PLC0415

    rows = found.rows()
    labels = found.standing.labels
    newest = [row for row in rows if row.week == found.panel.weeks[-1]]
    firm = stability(found.model, found.panel, seed=MODEL_SEED)
    return {
        "total": len(rows),
        "rows": [
            {
                "user": row.user,
                "week": table.week_names[row.week],
                "segment": row.segment,
                "membership": row.membership,
                "borderline": row.borderline,
            }
            for row in rows
        ],
        "segments": [
            {
                "segment": segment,
                "users": sum(row.segment is segment for row in newest),
                "stability": firm[segment],
            }
            for segment in RATED_SEGMENTS
        ],
        "migrations": migrations(labels[:, -2], labels[:, -1]) if labels.shape[1] > 1 else {},
        "drift": drift(found.model, found.panel),
        "model": found.model.to_dict(),
        "models": [
            {"week": table.week_names[week], "version": found.models[position].version}
            for week, position in zip(found.panel.weeks, found.model_of_week, strict=True)
        ],
    }


def _emit(document: dict[str, Any]) -> None:
    emit_table(
        ("user", "week", "segment", "#membership", "borderline"),
        (
            (
                row["user"],
                row["week"],
                row["segment"],
                row["membership"],
                "borderline" if row["borderline"] else "",
            )
            for row in document["rows"]
        ),
    )
    emit_table(
        ("segment", "#users", "#stability"),
        ((one["segment"], one["users"], one["stability"]) for one in document["segments"]),
        "At the end",
    )
    if document["drift"].drifted:
        say("The users have moved away from the model; learn it anew.")
