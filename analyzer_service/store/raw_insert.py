"""Inserts of rows as bytes, and the single rows of a block that was refused."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store

SELF_DESCRIBING: Final = frozenset(
    {"Arrow", "ArrowStream", "Native", "Parquet", "RowBinaryWithNamesAndTypes", "JSONEachRow"}
)
"""Formats whose data says what its columns are."""


def insert_bytes(
    store: Store,
    table: str,
    column_names: list[str],
    payload: bytes,
    *,
    data_format: str,
    settings: Mapping[str, str],
) -> int:
    """Insert bytes in a format and return the rows written; names must have been checked.

    Like ``Store.insert`` but for the settings and the count.

    Raises:
        StoreError: the store did not take them.
    """
    with store.lend(f"insert into {table}", settings) as client:
        summary = client.raw_insert(table, column_names, payload, fmt=data_format)
    return int(summary.summary.get("written_rows", 0))


def json_rows(store: Store, payload: bytes, data_format: str) -> list[bytes]:
    """Return the rows of a payload as JSON objects, read by the engine itself.

    Args:
        store: an embedded store.
        payload: rows in a format that describes itself.
        data_format: which one.

    Raises:
        StoreError: the engine cannot tell the rows apart.
    """
    if not store.embedded or data_format not in SELF_DESCRIBING:
        raise StoreError(f"The rows of {data_format} cannot be told apart.")
    with tempfile.TemporaryDirectory(prefix="mlp-analyzer-") as folder:
        path = Path(folder, "rows")
        path.write_bytes(payload)
        with store.lend("read the rows of a block") as client:
            text = client.raw_query(
                f"SELECT * FROM file('{path}', '{data_format}')", fmt="JSONEachRow"
            )
    return text.splitlines()
