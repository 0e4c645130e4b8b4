"""``mlp-analyzer sql``: one SELECT over the store."""

from __future__ import annotations

import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_table
from analyzer_service.domain import QueryColumn

if TYPE_CHECKING:
    from analyzer_service.server.interface import QueryAnswer

SPOOL_BYTES: Final = 8 << 20
"""Answers beyond this wait on disk: a query that fails half-way must not leave half a document."""


def command(
    *,
    query: Annotated[str, typer.Argument(metavar="SELECT", help="The query; - reads stdin.")],
    max_rows: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many rows. [default: the service's limit]"),
    ] = None,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Answer one SELECT (operator role)."""
    from analyzer_service.settings import Settings  # noqa: PLC0415

    text = sys.stdin.read() if query == "-" else query
    limit = max_rows or Settings.load().query_max_rows
    with connected(server=server, store=store) as analyzer:
        answer = analyzer.query(text, max_rows=limit)
        if json:
            _emit_objects(answer)
        else:
            _emit_table(answer)


def _emit_table(answer: QueryAnswer) -> None:
    import orjson  # noqa: PLC0415

    emit_table(
        [_heading(column) for column in answer.columns],
        [[_cell(value) for value in orjson.loads(row)] for row in answer],
    )


def _emit_objects(answer: QueryAnswer) -> None:
    import orjson  # noqa: PLC0415

    names = _distinct([column.name for column in answer.columns])
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES, mode="w+", encoding="utf-8") as spool:
        separator = "["
        for row in answer:
            spool.write(separator)
            values = orjson.loads(row)
            spool.write(orjson.dumps(dict(zip(names, values, strict=True))).decode())
            separator = ",\n"
        spool.write("[]\n" if separator == "[" else "]\n")
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)


def _distinct(names: list[str]) -> list[str]:
    """Number names that come again: an object holds each once."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


def _heading(column: QueryColumn) -> str:
    number = column.type.startswith(("Int", "UInt", "Float", "Decimal"))
    return f"#{column.name}" if number else column.name


def _cell(value: object) -> object:
    return str(value) if isinstance(value, float) else value
