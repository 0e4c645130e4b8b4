"""``mlp-analyzer config``: the settings in effect, and whether they can be used."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_json, emit_table, say


class Action(StrEnum):
    """What to do with the settings."""

    SHOW = "show"
    CHECK = "check"


def command(
    *,
    action: Annotated[
        Action, typer.Argument(help="Show the settings, or only check them.")
    ] = Action.SHOW,
    json: options.Json = False,
) -> None:
    """Show every setting and its source, or check them."""
    from analyzer_service.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    if action is Action.CHECK:
        if json:
            emit_json({"usable": True})
        else:
            say("The settings can be used.")
        return
    described = settings.describe()
    if json:
        emit_json({"settings": described})
        return
    emit_table(
        ("variable", "value", "source"),
        ((item["variable"], _shown(item["value"]), item["source"]) for item in described),
    )


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
