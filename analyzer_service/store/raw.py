"""Users' SQL answered as bytes in one of the engine's formats, and inserts of such bytes.

What ``gate`` does for rows as JSON text, this does for the formats clients of a ClickHouse server
ask for, with their parameters: the same four steps, on the same kind of handle. Beyond it:

- a closing FORMAT clause is taken off the text the engine has written itself, so that nothing else
  can look like one; the format is from a list;
- parameters are bound by the engine in every step, so what is checked is what runs;
- a caller may be confined to some tables: by their names in both trees, and by a filter on every
  other table that lets no row through, whatever way of naming one should be found.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from analyzer_service.errors import (
    AnalyzerError,
    QueryFailedError,
    QueryLimitError,
    QueryRefusedError,
)
from analyzer_service.store import gate
from analyzer_service.store.answer import Lease
from analyzer_service.store.connect import Store
from analyzer_service.store.gate import QueryLimits
from analyzer_service.store.handles import Settings
from analyzer_service.store.tree import SYSTEM_DATABASES, check_resolved, check_tree

STREAMED: Final = frozenset(
    {"Native", "RowBinary", "JSONEachRow", "CSV", "TabSeparated", "TabSeparatedRaw"}
)
"""Formats whose blocks simply follow each other, so that a long answer is never held whole."""

WHOLE: Final = frozenset(
    {
        "Arrow", "ArrowStream", "CSVWithNames", "CSVWithNamesAndTypes", "JSON", "JSONColumns",
        "JSONColumnsWithMetadata", "JSONCompact", "JSONCompactColumns", "JSONCompactEachRow",
        "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes", "JSONCompactStrings",
        "JSONStrings", "JSONStringsEachRow", "Markdown", "Parquet", "Pretty", "PrettyCompact",
        "PrettyCompactMonoBlock", "PrettySpace", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes",
        "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "Values", "Vertical", "XML",
    }
)  # fmt: skip
"""Formats with a head or a tail: answered in one piece, within the limit on bytes."""

ALIASES: Final = {
    "TSV": "TabSeparated",
    "TSVRaw": "TabSeparatedRaw",
    "TSVWithNames": "TabSeparatedWithNames",
    "TSVWithNamesAndTypes": "TabSeparatedWithNamesAndTypes",
    "NDJSON": "JSONEachRow",
    "JSONLines": "JSONEachRow",
}

CHUNK_BYTES: Final = 1 << 20
"""How much of a streamed answer is taken at a time: large enough that calls do not count."""

_FORMAT = re.compile(r" FORMAT (\w+)(?: SETTINGS [\w ,=']+)?$")
_NAME = r"(?:(?:`?(?P<database>\w+)`?)\.)?`?(?P<table>\w+)`?"
_DESCRIBE = re.compile(rf"DESCRIBE TABLE {_NAME}")
_EXISTS = re.compile(rf"EXISTS (?:TABLE )?{_NAME}")
_SHOW_TABLES = re.compile(r"SHOW TABLES(?: FROM `?(?P<database>\w+)`?)?")
_TABLE_NODE = re.compile(r" +TableIdentifier (\S+)")
_TABLE_RESOLVED = re.compile(r"\s*TABLE id: .*?\btable_name: ([^,\s]+)")
_CTE = re.compile(r"(?:\bWITH(?: RECURSIVE)?|,) `?(\w+)`? AS \(")
_ESCAPE = re.compile(r"\\(.)", re.S)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0"}


@dataclass(frozen=True, slots=True)
class RawQuestion:
    """One query of a user."""

    sql: str
    data_format: str = "TabSeparated"
    """The format where the text names none."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values of its ``{name:Type}`` parameters, escaped as in a tab-separated file."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Engine settings the caller has checked; they are set before ``readonly``."""
    tables: frozenset[str] | None = None
    """The tables it may read; None for all that the gate lets through."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Texts (as the engine writes them) that are answered by a trusted query instead."""


class RawAnswer:
    """Bytes on their way: iterate once, or close.

    Args:
        data_format: what they are in.
        chunks: the bytes; errors come out as ours.
        lease: the handle they come from.
    """

    def __init__(self, data_format: str, chunks: Iterator[bytes], lease: Lease) -> None:
        self.data_format = data_format
        self._chunks = chunks
        self._lease = lease

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Stop: what was not read yet is never computed."""
        self._lease.abort()


def known_format(name: str) -> str:
    """Return a format's own name.

    Raises:
        QueryFailedError: the name is none of a format that answers can have.
    """
    found = ALIASES.get(name, name)
    if found not in STREAMED and found not in WHOLE:
        raise QueryFailedError(
            f"Unknown format {name} for an answer (UNKNOWN_FORMAT).",
            hint=f"Known are: {', '.join(sorted(STREAMED | WHOLE))}.",
        )
    return found


class RawQueries:
    """Runs users' queries over a store. Safe to use from many threads."""

    def __init__(self, store: Store, *, threads: int | None = None) -> None:
        self._handles = store._handles  # noqa: SLF001 - the same package's pool
        self._threads = threads
        self._all_tables: frozenset[str] | None = None

    def ask(self, question: RawQuestion, limits: QueryLimits) -> RawAnswer:
        """Check a user's query and start it.

        Raises:
            QueryRefusedError: it is not one plain SELECT over what this caller may read.
            QueryLimitError: it asks for too much (also while iterating).
            QueryFailedError: the engine cannot run it; the engine's error is its cause.
        """
        size = len(question.sql.encode("utf-8", "replace"))
        if size > limits.text_bytes:
            raise QueryRefusedError(
                f"The query is {size} bytes long; the limit is {limits.text_bytes}."
            )
        settings = self._settings(question, limits)
        client = self._handles.take(settings)
        lease = Lease(
            lambda: self._handles.give_back(settings, client),
            lambda: self._handles.discard(client),
        )
        try:
            return self._start(client, question, lease, limits)
        except ClickHouseError as error:
            lease.abort()
            raise translate(error) from error
        except BaseException:
            lease.abort()
            raise

    def _settings(self, question: RawQuestion, limits: QueryLimits) -> Settings:
        *ours, readonly = limits.settings(threads=self._threads)
        extra: list[tuple[str, Any]] = [("max_result_bytes", limits.result_bytes)]
        extra += sorted(question.settings.items())
        if question.tables is not None:
            hidden = sorted(self._tables() - question.tables)
            filters = ", ".join(f"'{name}': '0'" for name in hidden)
            extra.append(("additional_table_filters", f"{{{filters}}}"))
        return (*ours, *extra, readonly)

    def _tables(self) -> frozenset[str]:
        """Return the store's tables; migrations ran before anybody could ask."""
        if self._all_tables is None:
            with self._handles.lend((("readonly", 1),)) as client:
                rows = client.query(
                    "SELECT name FROM system.tables WHERE database = currentDatabase()"
                ).result_rows
            self._all_tables = frozenset(str(name) for (name,) in rows)
        return self._all_tables

    def _start(
        self, client: Client, question: RawQuestion, lease: Lease, limits: QueryLimits
    ) -> RawAnswer:
        text, data_format = _cut_format(gate._formatted(client, question.sql))  # noqa: SLF001
        data_format = known_format(data_format or question.data_format)
        engine = gate._engine(client)  # noqa: SLF001
        own = question.known.get(text) or _own_query(text, engine.database)
        if own is not None:
            return RawAnswer(data_format, _read(client, own, data_format, {}, lease, limits), lease)
        bound = _bound(text, question.parameters)
        tree = _explain(client, f"EXPLAIN AST SELECT * FROM ({text})", bound)
        check_tree(tree, database=engine.database, functions=engine.functions)
        if question.tables is not None:
            _check_tables(_named(tree), question.tables, cte=set(_CTE.findall(text)))
        resolved = _explain(client, f"EXPLAIN QUERY TREE passes = 1 SELECT * FROM ({text})", bound)
        check_resolved(resolved, database=engine.database)
        if question.tables is not None:
            found = (match.group(1) for line in resolved if (match := _TABLE_RESOLVED.match(line)))
            _check_tables(found, question.tables, cte=set())
        sql = f"SELECT * FROM ({text})"
        return RawAnswer(data_format, _read(client, sql, data_format, bound, lease, limits), lease)


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
    with store._lend(f"insert into {table}", settings) as client:  # noqa: SLF001
        summary = client.raw_insert(table, column_names, payload, fmt=data_format)
    return int(summary.summary.get("written_rows", 0))


def translate(error: ClickHouseError) -> AnalyzerError:
    """Return the engine's error in our words."""
    return gate._translate(error)  # noqa: SLF001


def _read(
    client: Client,
    sql: str,
    data_format: str,
    parameters: dict[str, Any],
    lease: Lease,
    limits: QueryLimits,
) -> Iterator[bytes]:
    """Start a query now; its bytes come out of the iterator."""
    if data_format in STREAMED:
        stream = client.raw_stream(sql, parameters=parameters or None, fmt=data_format)
        first = stream.read(CHUNK_BYTES)
    else:
        stream = io.BytesIO()
        first = client.raw_query(sql, parameters=parameters or None, fmt=data_format)
    return _chunks(first, stream, lease, limits.result_bytes)


def _chunks(first: bytes, stream: io.IOBase, lease: Lease, result_bytes: int) -> Iterator[bytes]:
    sent, chunk = 0, first
    try:
        while chunk and lease.open:
            sent += len(chunk)
            if sent > result_bytes:
                lease.abort()
                raise QueryLimitError(
                    f"The answer is longer than {result_bytes} bytes.",
                    hint="Select fewer columns or rows, or aggregate.",
                )
            yield chunk
            if not lease.open:
                return
            chunk = stream.read(CHUNK_BYTES)  # type: ignore[attr-defined]
    except ClickHouseError as error:
        lease.abort()
        raise translate(error) from error
    lease.end()


def _cut_format(text: str) -> tuple[str, str]:
    """Return the engine's own writing of a query without its FORMAT clause, and the format."""
    match = _FORMAT.search(text)
    return (text[: match.start()], match.group(1)) if match else (text, "")


def _own_query(text: str, database: str) -> str | None:
    """Return the query of ours that answers a SHOW, DESCRIBE or EXISTS."""
    for pattern, answer in (
        (_DESCRIBE, "DESCRIBE TABLE `{table}`"),
        (
            _EXISTS,
            "SELECT toUInt8(count()) AS result FROM system.tables"
            " WHERE database = currentDatabase() AND name = '{table}'",
        ),
        (
            _SHOW_TABLES,
            "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name",
        ),
    ):
        match = pattern.fullmatch(text)
        if match is None:
            continue
        named = match.groupdict()
        if named["database"] not in (None, database):
            if named["database"].lower() in SYSTEM_DATABASES:
                raise QueryRefusedError(f"{named['database']} is not described.")
            raise QueryFailedError(
                f"Database {named['database']} does not exist (UNKNOWN_DATABASE).",
                hint=f"The only one is {database}.",
            )
        return answer.format(table=named.get("table"))
    return None


def _explain(client: Client, sql: str, parameters: dict[str, Any]) -> list[str]:
    try:
        rows = client.query(sql, parameters=parameters or None).result_rows
    except ClickHouseError as error:
        if gate.engine_code(error) == gate._SYNTAX_ERROR:  # noqa: SLF001
            raise QueryRefusedError(
                "Only one plain SELECT is run: no INSERT, SYSTEM, SET or INTO OUTFILE.",
                hint="SHOW TABLES, SHOW DATABASES, EXISTS and DESCRIBE TABLE are answered too.",
            ) from None
        raise
    return [line for (cell,) in rows for line in str(cell).split("\n")]


def _named(tree: list[str]) -> Iterator[str]:
    for line in tree:
        match = _TABLE_NODE.match(line)
        if match:
            yield match.group(1)


def _check_tables(names: Iterator[str], allowed: frozenset[str], *, cte: set[str]) -> None:
    for name in names:
        database, _, table = name.rpartition(".")
        table = table.strip("`")
        system = database.strip("`").lower() in (
            *SYSTEM_DATABASES,
            "_temporary_and_external_tables",
        )
        if not system and table not in allowed and name not in cte:
            raise QueryRefusedError(
                f"The query is not run: a reader may not read {table}.",
                hint=f"Readers may read {', '.join(sorted(allowed))}; the rest is about persons.",
            )


def _bound(text: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the parameters a text has; the client escapes them again."""
    return {
        name: None if value == r"\N" else _ESCAPE.sub(_unescaped, value)
        for name, value in parameters.items()
        if f"{{{name}:" in text
    }


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPED.get(match.group(1), match.group(1))
