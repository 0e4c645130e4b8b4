"""Users' SQL answered as bytes in one of the engine's formats.

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
    QueryFailedError,
    QueryLimitError,
    QueryRefusedError,
)
from analyzer_service.store.answer import Lease
from analyzer_service.store.connect import Store
from analyzer_service.store.faults import engine_code
from analyzer_service.store.formats import BINARY, STREAMED, known_format
from analyzer_service.store.gate import (
    SYNTAX_ERROR,
    Engine,
    QueryLimits,
    engine_of,
    formatted,
    translated,
)
from analyzer_service.store.handles import Settings
from analyzer_service.store.tree import SYSTEM_DATABASES, check_resolved, check_tree

BINARY_COPIES: Final = 2
TEXT_COPIES: Final = 8
"""How much memory an answer held whole takes, in its own sizes (measured for JSON: seven). The
engine's limits count none of it, so such an answer is sized by a query of its own first."""

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
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*):[^{}]+\}")


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


@dataclass(frozen=True, slots=True)
class _Checked:
    """A query that may run."""

    sql: str
    data_format: str
    parameters: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    """The user's own text; empty for a query of ours, whose answer is small."""

    @property
    def streamed(self) -> bool:
        return bool(self.text) and self.data_format in STREAMED

    @property
    def measured(self) -> bool:
        return bool(self.text)


class RawQueries:
    """Runs users' queries over a store. Safe to use from many threads."""

    def __init__(self, store: Store, *, limits: QueryLimits, threads: int | None = None) -> None:
        """Prepare to run queries.

        Args:
            store: what they run over.
            limits: of any query; a single one may have lower ones.
            threads: how many a query may use; None leaves it to the engine.
        """
        self._handles = store.handles
        self._limits = limits
        self._threads = threads
        self._engine: Engine | None = None
        self._all_tables: frozenset[str] | None = None

    def ask(self, question: RawQuestion, limits: QueryLimits | None = None) -> RawAnswer:
        """Check a user's query and start it.

        Raises:
            QueryRefusedError: it is not one plain SELECT over what this caller may read.
            QueryLimitError: it asks for too much (also while iterating).
            QueryFailedError: the engine cannot run it; the engine's error is its cause.
        """
        limits = limits or self._limits
        size = len(question.sql.encode("utf-8", "replace"))
        if size > limits.text_bytes:
            raise QueryRefusedError(
                f"The query is {size} bytes long; the limit is {limits.text_bytes}."
            )
        try:
            # The service's own limits, whatever this query's: the trees have rows, too.
            with self._handles.lend(self._limits.settings(threads=self._threads)) as client:
                checked = self._checked(client, question)
            return self._start(checked, self.settings(question, limits), limits.result_bytes)
        except ClickHouseError as error:
            raise translated(error) from error

    def settings(self, question: RawQuestion, limits: QueryLimits) -> Settings:
        """Return the settings of the handle a question runs on."""
        *ours, readonly = limits.settings(threads=self._threads)
        extra: list[tuple[str, Any]] = sorted(question.settings.items())
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

    def _checked(self, client: Client, question: RawQuestion) -> _Checked:
        """Return what to run for a question."""
        if self._engine is None:
            self._engine = engine_of(client)
        text, data_format = _cut_format(formatted(client, question.sql))
        data_format = known_format(data_format or question.data_format)
        sql = question.known.get(text) or _own_query(text, self._engine.database)
        if sql is not None:
            return _Checked(sql, data_format)
        bound = _bound(text, question.parameters)
        _check(client, text, bound, question.tables, self._engine)
        return _Checked(f"SELECT * FROM ({text})", data_format, bound, text)

    def _start(self, checked: _Checked, settings: Settings, result_bytes: int) -> RawAnswer:
        client = self._handles.take(settings)
        lease = Lease(
            lambda: self._handles.give_back(settings, client),
            lambda: self._handles.discard(client),
        )
        try:
            chunks = _read(client, checked, lease, result_bytes)
        except BaseException:
            lease.abort()
            raise
        return RawAnswer(checked.data_format, chunks, lease)


def _read(client: Client, checked: _Checked, lease: Lease, result_bytes: int) -> Iterator[bytes]:
    """Start a query now; its bytes come out of the iterator."""
    parameters, data_format = checked.parameters or None, checked.data_format
    stream: Any = io.BytesIO()
    if checked.streamed:
        stream = client.raw_stream(checked.sql, parameters=parameters, fmt=data_format)
        first = stream.read(CHUNK_BYTES)
    else:
        if checked.measured:
            _check_size(client, checked, result_bytes)
        first = client.raw_query(checked.sql, parameters=parameters, fmt=data_format)
    return _chunks(first, stream, lease, result_bytes)


def _check_size(client: Client, checked: _Checked, result_bytes: int) -> None:
    """Refuse an answer that would be too large to hold."""
    binary = checked.data_format in BINARY
    size = "byteSize(*)" if binary else "length(formatRowNoNewline('JSONEachRow', *))"
    found = client.query(
        f"SELECT sum({size}) FROM ({checked.text})", parameters=checked.parameters or None
    ).result_rows[0][0]
    limit = result_bytes // (BINARY_COPIES if binary else TEXT_COPIES)
    if found > limit:
        raise QueryLimitError(
            f"The answer is longer than {limit} bytes, the limit of the format"
            f" {checked.data_format}.",
            hint=f"Aggregate, or ask for a format that streams: {', '.join(sorted(STREAMED))}.",
        )


def _chunks(first: bytes, stream: Any, lease: Lease, result_bytes: int) -> Iterator[bytes]:
    sent, chunk = 0, first
    try:
        while chunk:
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
            chunk = stream.read(CHUNK_BYTES)
    except ClickHouseError as error:
        lease.abort()
        raise translated(error) from error
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


def _check(
    client: Client,
    text: str,
    bound: dict[str, Any],
    tables: frozenset[str] | None,
    engine: Engine,
) -> None:
    """Check both trees of a query, with its parameters in place."""
    tree = _explain(client, f"EXPLAIN AST SELECT * FROM ({text})", bound)
    # The engine puts its own cast around a parameter's value.
    plain = (line.replace("Function _CAST (", "Function CAST (") for line in tree)
    check_tree(plain, database=engine.database, functions=engine.functions)
    if tables is not None:
        named = (match.group(1) for line in tree if (match := _TABLE_NODE.match(line)))
        _check_tables(named, tables, cte=set(_CTE.findall(text)))
    resolved = _explain(client, f"EXPLAIN QUERY TREE passes = 1 SELECT * FROM ({text})", bound)
    check_resolved(resolved, database=engine.database)
    if tables is not None:
        found = (match.group(1) for line in resolved if (match := _TABLE_RESOLVED.match(line)))
        _check_tables(found, tables, cte=set())


def _explain(client: Client, sql: str, parameters: dict[str, Any]) -> list[str]:
    try:
        rows = client.query(sql, parameters=parameters or None).result_rows
    except ClickHouseError as error:
        if engine_code(error) == SYNTAX_ERROR:
            raise QueryRefusedError(
                "Only one plain SELECT is run: no INSERT, SYSTEM, SET or INTO OUTFILE.",
                hint="SHOW TABLES, SHOW DATABASES, EXISTS and DESCRIBE TABLE are answered too.",
            ) from None
        raise
    return [line for (cell,) in rows for line in str(cell).split("\n")]


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


@dataclass(frozen=True, slots=True)
class _Escaped:
    """A parameter's value as the engine takes it; the client passes what it does not know as text.

    Escaping it again would be wrong for arrays and maps.
    """

    text: str

    def __str__(self) -> str:
        return self.text


def _bound(text: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of those parameters a text has."""
    placeholders = set(_PLACEHOLDER.findall(text))
    return {name: _Escaped(value) for name, value in parameters.items() if name in placeholders}
