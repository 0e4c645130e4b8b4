"""What commands print: one JSON document on stdout, or tables that fit 80 columns.

Progress and remarks go to stderr, so that stdout is the result alone.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import typer

TWO_HOURS: Final = 7200
NARROW: Final = 80
"""Columns where no terminal says how wide it is."""


def emit_json(document: object) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json_text(document) + "\n")


def json_text(document: object) -> str:
    """Return JSON on one line; equal data give equal text."""
    import orjson  # noqa: PLC0415

    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z
    return orjson.dumps(document, default=_plain, option=options).decode()


def say(text: str) -> None:
    """Print a remark on stderr."""
    typer.echo(text, err=True)


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table.

    Args:
        columns: Headings; ``#`` before one makes it a column of numbers, ``=`` one that is never
            broken into lines, such as ids.
        rows: The cells.
        title: Stands above.
    """
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left")
    for column in columns:
        table.add_column(
            Text(column.lstrip("#=")),
            justify="right" if column.startswith("#") else "left",
            no_wrap=column.startswith(("#", "=")),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    _console().print(table)


def emit_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {shown(value)}")


def facts_of(value: object) -> dict[str, object]:
    """Return the fields of a summary that have something to say, by name."""
    fields = dataclasses.fields(value)  # type: ignore[arg-type]
    facts = {item.name.replace("_", " "): getattr(value, item.name) for item in fields}
    return {name: fact for name, fact in facts.items() if fact not in ((), {})}


def shown(value: object) -> str:
    """Return a value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def length(seconds: float) -> str:
    """Return a length of time in minutes, from two hours on in hours."""
    return f"{seconds / 3600:,.1f} h" if seconds >= TWO_HOURS else f"{seconds / 60:.1f} min"


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415

    return Console(width=None if sys.stdout.isatty() else NARROW, highlight=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    raise TypeError(type(value).__name__)
