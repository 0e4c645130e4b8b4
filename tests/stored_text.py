"""Looks for a text in everything a store holds: every column of every table that can hold text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

Ask = Callable[[str], list[dict[str, Any]]]
"""Answers one SELECT with its rows."""

TEXT_COLUMNS = """
SELECT columns.table AS table_name, columns.name AS column_name
FROM system.columns AS columns
INNER JOIN system.tables AS tables ON tables.database = columns.database AND tables.name = columns.table
WHERE columns.database = currentDatabase() AND match(columns.type, 'String') AND tables.engine LIKE '%MergeTree'
ORDER BY table_name, column_name
"""


def columns_with(ask: Ask, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return (table, column) of every column in which one of the texts stands, in any case.

    Arrays, maps and nested columns are looked at whole, with their keys.
    """
    found = []
    for table, columns in groupby(ask(TEXT_COLUMNS), key=lambda row: row["table_name"]):
        names = [row["column_name"] for row in columns]
        wanted = ", ".join(f"'{text}'" for text in texts)
        counts = ", ".join(
            f"countIf(multiSearchAnyCaseInsensitiveUTF8(toString(`{name}`), [{wanted}])) AS `{number}`"
            for number, name in enumerate(names)
        )
        (row,) = ask(f"SELECT {counts} FROM `{table}`")
        found += [(table, name) for number, name in enumerate(names) if int(row[str(number)])]
    return found
