"""Arrow tables as columns: numpy where the type allows, lists where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def arrow_columns(table: pa.Table) -> dict[str, Sequence[Any]]:
    """Return a table's columns by name.

    Integers, floats, booleans, dates and timestamps without NULL become numpy arrays, everything
    else lists: fixed-size binaries of bytes (numpy would drop trailing zero bytes), maps of
    dictionaries.
    """
    return {
        name: _column(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _column(column: pa.ChunkedArray) -> Sequence[Any]:
    kind = column.type
    plain = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    )
    if plain and column.null_count == 0:
        values: Sequence[Any] = column.to_numpy()
        return values
    if pa.types.is_map(kind):
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    items: Sequence[Any] = column.to_pylist()
    return items
