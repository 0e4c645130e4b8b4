"""The gate every user's SQL goes through: ``readonly`` alone is not read-only on chDB.

1. The text goes as a *bound* parameter through ``formatQuerySingleLine``: one statement, no
   comments, written the engine's own way. Everything after works on that text.
2. It is only ever used as ``… FROM (<text>)``: no INTO OUTFILE, FORMAT, INSERT, SYSTEM or KILL
   parses there.
3. Every node of its syntax tree must be of a known kind, every function on the allow-list
   (``allowed_functions.txt``), every table ours or a harmless one of the system's. ``* APPLY f``
   is of no known kind: the tree does not show its function. Then the same of the resolved tree,
   for names that turn out to be functions or tables only there.
4. It runs on a handle of its own kind: limits set first, ``readonly = 1`` last.

A closing semicolon and comments are fine: step 1 drops them. SHOW TABLES and DESCRIBE TABLE are
answered by queries of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from analyzer_service.domain import QueryColumn
from analyzer_service.errors import (
    AnalyzerError,
    QueryFailedError,
    QueryLimitError,
    QueryRefusedError,
)
from analyzer_service.store.answer import Answer, Lease
from analyzer_service.store.faults import engine_code, engine_message
from analyzer_service.store.handles import Handles, Settings
from analyzer_service.store.tree import check_resolved, check_tree


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one user's query may use."""

    seconds: float = 30.0
    """Longer than any look at settled tables takes, shorter than a person waits."""
    memory_bytes: int = 2 * 1024**3
    """Room for a large GROUP BY, while an analysis keeps the rest of a small machine."""
    result_rows: int = 1_000_000
    """More is an export, and exports go by window."""
    result_bytes: int = 512 * 1024**2
    """A million wide rows. Counted as they leave: the engine's own limit does not see streams."""
    text_bytes: int = 64 * 1024
    """No person writes a longer query."""

    def settings(self, *, threads: int | None) -> Settings:
        """Return the engine settings, ``readonly`` last: nothing can be set after it."""
        limits: Settings = (
            ("session_timezone", "UTC"),
            ("final", 1),
            ("max_execution_time", max(self.seconds, MINIMUM_SECONDS)),
            ("timeout_overflow_mode", "throw"),
            ("max_memory_usage", self.memory_bytes),
            ("max_result_rows", self.result_rows),
            ("result_overflow_mode", "throw"),
            ("max_query_size", self.text_bytes * FORMATTED_GROWTH),
            ("max_parser_depth", MAX_DEPTH),
            ("max_ast_depth", MAX_DEPTH),
            ("max_ast_elements", MAX_ELEMENTS),
            ("max_expanded_ast_elements", MAX_ELEMENTS),
            ("max_subquery_depth", MAX_SUBQUERIES),
            # A user's query spills nothing to disk: it fails at its memory limit instead.
            ("max_bytes_before_external_group_by", 0),
            ("max_bytes_ratio_before_external_group_by", 0),
            ("max_bytes_before_external_sort", 0),
            ("max_bytes_ratio_before_external_sort", 0),
            ("max_temporary_data_on_disk_size_for_query", SPILL_BYTES),
            ("allow_introspection_functions", 0),
            ("allow_ddl", 0),
            ("output_format_json_quote_64bit_integers", 0),
            ("output_format_json_quote_denormals", 0),
            ("output_format_json_escape_forward_slashes", 0),
        )
        if threads is not None:
            limits += (("max_threads", threads),)
        return (*limits, ("readonly", 1))


MINIMUM_SECONDS = 0.05
"""Zero would mean no limit at all to the engine."""

FORMATTED_GROWTH = 8
"""How much longer than the user's text the engine's own writing of it may be."""

MAX_DEPTH = 300
"""Nesting of a query: the parser recurses, and its stack is the service's."""

MAX_ELEMENTS = 50_000
"""Nodes of a query after aliases are filled in: nested aliases double at every step."""

MAX_SUBQUERIES = 50

SPILL_BYTES = 1
"""The smallest limit on temporary files (zero would mean none)."""

CHECK_ROWS = 100_000
"""Rows the checks of one query may read: twice the nodes a query may have."""

_LIMIT_CODES = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        162,  # TOO_DEEP_SUBQUERIES
        167,  # TOO_DEEP_AST
        168,  # TOO_BIG_AST
        191,  # SET_SIZE_LIMIT_EXCEEDED
        241,  # MEMORY_LIMIT_EXCEEDED
        243,  # NOT_ENOUGH_SPACE: the limit on temporary files
        290,  # LIMIT_EXCEEDED
        306,  # TOO_DEEP_RECURSION
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_REFUSED_CODES = frozenset(
    {
        164,  # READONLY
        497,  # ACCESS_DENIED
    }
)
SYNTAX_ERROR = 62
"""The engine's code for a text that is no statement."""

_SHOW_TABLES = re.compile(r"SHOW TABLES", re.I)
_DESCRIBE = re.compile(r"DESCRIBE TABLE `?([A-Za-z_][A-Za-z0-9_]*)`?", re.I)

SHOW_TABLES = (
    "SELECT name, engine, comment FROM system.tables"
    " WHERE database = currentDatabase() AND NOT is_temporary ORDER BY name"
)
DESCRIBE_TABLE = (
    "SELECT name, type, default_kind AS default_type, default_expression, comment"
    " FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
    " ORDER BY position"
)
"""The table's name has passed ``_DESCRIBE``: letters, digits and underscores."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What the checks need to know of the engine."""

    database: str
    functions: frozenset[str]


class Gate:
    """Runs users' SQL.

    Args:
        handles: where handles with limits come from.
        threads: threads one query may use.
    """

    def __init__(self, handles: Handles, *, threads: int | None) -> None:
        self._handles = handles
        self._threads = threads
        self._engine: Engine | None = None

    def ask(self, sql: str, limits: QueryLimits) -> Answer:
        """Check a user's query and start it."""
        size = len(sql.encode("utf-8", "replace"))
        if size > limits.text_bytes:
            raise QueryRefusedError(
                f"The query is {size} bytes long; the limit is {limits.text_bytes}."
            )
        try:
            # The trees and columns of a query are rows, too, and not the caller's.
            checking = replace(limits, result_rows=max(limits.result_rows, CHECK_ROWS))
            with self._handles.lend(checking.settings(threads=self._threads)) as client:
                if self._engine is None:
                    self._engine = engine_of(client)
                text, columns = _checked(client, sql, self._engine)
            return self._start(text, columns, limits)
        except ClickHouseError as error:
            raise translated(error) from None

    def _start(self, text: str, columns: tuple[QueryColumn, ...], limits: QueryLimits) -> Answer:
        settings = limits.settings(threads=self._threads)
        client = self._handles.take(settings)
        lease = Lease(
            lambda: self._handles.give_back(settings, client),
            lambda: self._handles.discard(client),
        )
        try:
            stream = client.query_column_block_stream(
                f"SELECT formatRowNoNewline('JSONCompactEachRow', *) FROM ({text})",
                query_formats={"String": "bytes"},
            )
            blocks = stream.__enter__()  # type: ignore[no-untyped-call]
        except BaseException:
            lease.abort()
            raise
        return Answer(
            columns,
            iter(blocks),
            lease=lease,
            translate=translated,
            result_bytes=limits.result_bytes,
        )


def _checked(client: Client, sql: str, engine: Engine) -> tuple[str, tuple[QueryColumn, ...]]:
    """Return the text that may run and the columns it gives."""
    text = _own_query(formatted(client, sql))
    check_tree(_tree(client, text), database=engine.database, functions=engine.functions)
    check_resolved(_resolved(client, text), database=engine.database)
    described = client.query(f"DESCRIBE TABLE (SELECT * FROM ({text}))").result_rows
    return text, tuple(QueryColumn(name=str(row[0]), type=str(row[1])) for row in described)


def formatted(client: Client, sql: str) -> str:
    """Return the engine's own writing of a user's statement: one, without comments.

    Raises:
        QueryRefusedError: there are several.
        QueryFailedError: there is none.
    """
    try:
        rows = client.query(
            "SELECT formatQuerySingleLine({q:String})", parameters={"q": sql}
        ).result_rows
    except ClickHouseError as error:
        if engine_code(error) == SYNTAX_ERROR:
            message = engine_message(error)
            if "Multi-statements" in message:
                raise QueryRefusedError(
                    "Only one statement is run at a time.", hint="Send them one by one."
                ) from None
            raise QueryFailedError(message) from None
        raise
    return str(rows[0][0])


def _own_query(text: str) -> str:
    if _SHOW_TABLES.fullmatch(text):
        return SHOW_TABLES
    described = _DESCRIBE.fullmatch(text)
    if described:
        return DESCRIBE_TABLE.format(table=described.group(1))
    return text


def _tree(client: Client, text: str) -> list[str]:
    try:
        rows = client.query(f"EXPLAIN AST SELECT * FROM ({text})").result_rows
    except ClickHouseError as error:
        if engine_code(error) == SYNTAX_ERROR:
            raise QueryRefusedError(
                "Only one plain SELECT is run: no INSERT, SYSTEM, SET, INTO OUTFILE or FORMAT.",
                hint="SHOW TABLES and DESCRIBE TABLE name are answered too.",
            ) from None
        raise
    return [line for (cell,) in rows for line in str(cell).split("\n")]


def _resolved(client: Client, text: str) -> list[str]:
    # One pass only resolves; the later ones rewrite.
    rows = client.query(f"EXPLAIN QUERY TREE passes = 1 SELECT * FROM ({text})").result_rows
    return [line for (cell,) in rows for line in str(cell).split("\n")]


def engine_of(client: Client) -> Engine:
    """Return what the checks need to know of the engine behind a handle."""
    names = client.query("SELECT lower(name) FROM system.functions").result_rows
    database = client.query("SELECT currentDatabase()").result_rows[0][0]
    return Engine(str(database), frozenset(str(name) for (name,) in names))


def translated(error: ClickHouseError) -> AnalyzerError:
    """Return the error of a user's query in our words."""
    code, message = engine_code(error), engine_message(error)
    if code in _LIMIT_CODES:
        return QueryLimitError(
            f"The query reached a limit: {message}.", hint="Narrow its window or aggregate more."
        )
    if code in _REFUSED_CODES:
        return QueryRefusedError(f"The query may not do that: {message}.")
    return QueryFailedError(f"{message}.")
