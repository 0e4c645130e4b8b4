"""INSERTs of telemetry rows: the exporter's own, and those of people's clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store
from analyzer_service.store.faults import content_at_fault, engine_name
from analyzer_service.store.raw_insert import insert_bytes, json_rows
from analyzer_service.store.writer import SOURCES, RawWriter

TABLES: Final = frozenset(SOURCES)
"""The tables rows may be inserted into: raw telemetry. All others are made from these."""

LOGS: Final = "otel_logs"
EVENT_NAME: Final = "EventName"

METRICS: Final = "otel_metrics"
"""How the exporter's tables of metrics begin. Of these, only the sums are taken: the counters that
accounting reads are among them."""

FORMATS: Final = frozenset(
    {
        "Arrow", "ArrowStream", "CSV", "CSVWithNames", "CSVWithNamesAndTypes", "JSON",
        "JSONColumns", "JSONCompact", "JSONCompactEachRow", "JSONCompactEachRowWithNames",
        "JSONCompactEachRowWithNamesAndTypes", "JSONEachRow", "Native", "Parquet", "RowBinary",
        "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "TabSeparated", "TabSeparatedRaw",
        "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "TSV", "TSVWithNames",
        "TSVWithNamesAndTypes",
    }
)  # fmt: skip
"""Formats of data alone. ``Values`` is not one: its rows are expressions, which could call any
function with the service's rights."""

TOO_LARGE: Final = "too_large"
"""Reason in ``rejected`` of an INSERT above the limit on bytes."""

_NAME = r'(?:"[^"\\`]+"|`[^"\\`]+`|[A-Za-z_][\w.]*)'
_COMMENT = re.compile(r"\A(?:\s*(?:--[^\n]*\n|/\*.*?\*/))*\s*", re.S)
_INSERT = re.compile(
    rf"""INSERT\s+INTO\s+(?:TABLE\s+)?
        (?:(?P<database>"[^"]+"|`[^`]+`|\w+)\s*\.\s*)?(?P<table>"[^"]+"|`[^`]+`|\w+)
        \s*(?:\(\s*(?P<columns>{_NAME}(?:\s*,\s*{_NAME})*)\s*\))?
        \s*(?:SETTINGS\s+(?P<settings>[\w\s=,.']+?))?
        \s*(?:FORMAT\s+(?P<format>\w+)|(?P<values>VALUES))?\s*;?\s*\Z""",
    re.I | re.X,
)
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_SETTING = re.compile(r"\s*(\w+)\s*=\s*'?([\w.]*)'?\s*")


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT statement."""

    database: str
    table: str
    columns: tuple[str, ...]
    data_format: str
    settings: Mapping[str, str]


def parse_insert(statement: str, default_format: str) -> Insert:
    """Read an INSERT statement.

    Raises:
        EndpointError: it is no INSERT of data into a table in a format that is taken.
    """
    match = _INSERT.match(_COMMENT.sub("", statement, count=1))
    if match is None:
        raise EndpointError(
            "NOT_IMPLEMENTED",
            "Of INSERTs only INSERT INTO table (columns) FORMAT name with data is supported",
        )
    data_format = "Values" if match["values"] else match["format"] or default_format
    if data_format not in FORMATS:
        raise EndpointError(
            "UNKNOWN_FORMAT" if data_format != "Values" else "NOT_IMPLEMENTED",
            f"Rows are not taken in the format {data_format or '(none)'}; "
            f"these are: {', '.join(sorted(FORMATS))}",
        )
    columns = tuple(_plain(name) for name in re.findall(_NAME, match["columns"] or ""))
    for column in columns:
        if not _COLUMN.fullmatch(column):
            raise EndpointError("BAD_ARGUMENTS", f"{column[:80]!r} is not the name of a column")
    return Insert(
        database=_plain(match["database"] or ""),
        table=_plain(match["table"]),
        columns=columns,
        data_format=data_format,
        settings=_settings(match["settings"] or ""),
    )


def check_table(table: str) -> None:
    """Refuse INSERTs into anything but raw telemetry.

    Raises:
        EndpointError: the table is another one.
    """
    if table.startswith(METRICS) and table not in TABLES:
        raise EndpointError(
            "NOT_IMPLEMENTED",
            "Of metrics only sums are taken, for accounting: filter the Collector's metrics "
            "pipeline as collector-config/gateway.yaml does",
        )
    if table not in TABLES:
        raise EndpointError(
            "ACCESS_DENIED",
            f"Rows are inserted into {', '.join(sorted(TABLES))} only; "
            "everything else is made from these",
        )


def check_event_names(insert: Insert) -> None:
    """Refuse an exporter's INSERT of log records without the names of events.

    The exporter looks once, when it starts, whether the table has a column for them. If the store
    is away at that moment it leaves the names out for as long as it runs, which nothing later could
    repair. Refused, the records wait in its queue.

    Raises:
        EndpointError: the column is left out.
    """
    if insert.table == LOGS and insert.columns and EVENT_NAME not in insert.columns:
        raise EndpointError(
            "NO_SUCH_COLUMN_IN_TABLE",
            "Log records are not taken without EventName: the Collector started while the store "
            "was away and leaves it out. Restart the Collector; its queue keeps the records",
            status=503,
        )


def source_of(statement: str) -> str:
    """Return the kind of telemetry an INSERT is about, as far as its text tells."""
    match = _INSERT.match(_COMMENT.sub("", statement, count=1))
    return SOURCES.get(_plain(match["table"]), "unknown") if match else "unknown"


class Inserter:
    """Writes inserted rows to the store. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer = RawWriter(store)

    def insert(self, insert: Insert, data: bytes, settings: Mapping[str, str]) -> int:
        """Store rows as one block and return how many there were.

        Raises:
            StoreError: the store does not take them.
        """
        return insert_bytes(
            self._store,
            insert.table,
            list(insert.columns),
            data,
            data_format=insert.data_format,
            settings=settings,
        )

    def insert_or_reject(self, insert: Insert, data: bytes, settings: Mapping[str, str]) -> int:
        """Store what can be stored and return how many rows that were; keep the rest as rejected.

        For writers that send what they were refused again until it is taken: an exporter with one
        row that can never be stored would send nothing else any more.

        Raises:
            StoreError: the store cannot take the rows now; sending them again later is right.
        """
        try:
            return self.insert(insert, data, settings)
        except StoreError as error:
            if not content_at_fault(error):
                raise
            return self._salvage(insert, data, error)

    def set_aside(self, insert: Insert, statement: str, why: str) -> None:
        """Keep that an INSERT was not looked into; sent again it is kept once.

        Raises:
            StoreError: the store cannot take that now.
        """
        self._writer.reject(SOURCES[insert.table], TOO_LARGE, why, statement)

    def _salvage(self, insert: Insert, data: bytes, refusal: StoreError) -> int:
        try:
            rows = json_rows(self._store, data, insert.data_format)
        except StoreError:
            # Not even its rows can be told apart.
            self._writer.reject(
                SOURCES[insert.table],
                engine_name(refusal),
                refusal.message,
                data.decode("utf-8", "replace"),
            )
            return 0
        result = self._writer.write(
            insert.table,
            insert.columns,
            b"\n".join(rows),
            data_format="JSONEachRow",
            rows=len(rows),
            split=lambda start, stop: b"\n".join(rows[start:stop]),
            describe=lambda position: rows[position].decode("utf-8", "replace"),
            service=lambda position: _service(rows[position]),
        )
        return result.stored


def _service(row: bytes) -> str:
    """Return whose a row is; the engine wrote it, so it is a JSON object."""
    return str(orjson.loads(row).get("ServiceName", ""))


def _plain(name: str) -> str:
    return name[1:-1] if name[:1] in ('"', "`") else name


def _settings(text: str) -> dict[str, str]:
    settings = {}
    for item in filter(None, text.split(",")):
        match = _SETTING.fullmatch(item)
        if match is None:
            raise EndpointError("SYNTAX_ERROR", "The SETTINGS clause cannot be read")
        settings[match.group(1)] = match.group(2)
    return settings
