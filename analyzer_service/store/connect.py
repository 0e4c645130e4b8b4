"""The store: everything above this package knows it, nothing above knows which engine it is."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, cast

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from analyzer_service.errors import InvalidInputError, StoreError
from analyzer_service.store.answer import Answer
from analyzer_service.store.cluster import Cluster
from analyzer_service.store.columns import arrow_columns
from analyzer_service.store.faults import store_error
from analyzer_service.store.gate import Gate, QueryLimits
from analyzer_service.store.handles import Handles, Settings
from analyzer_service.store.location import StoreLocation, parse_location
from analyzer_service.store.lock import PathLock
from analyzer_service.store.statements import single_statement

__all__ = ["Answer", "QueryLimits", "Store", "open_store"]

BASE_SETTINGS: Settings = (
    # Functions of time without a zone must not follow the host's.
    ("session_timezone", "UTC"),
    # Delivery is at least once: a batch sent again whole is dropped, in chained views too.
    ("insert_deduplicate", 1),
    ("deduplicate_blocks_in_dependent_materialized_views", 1),
    # What was acknowledged is in the table.
    ("async_insert", 0),
    ("output_format_arrow_string_as_string", 1),
    ("output_format_arrow_low_cardinality_as_dictionary", 0),
    ("output_format_arrow_compression_method", "none"),
)
"""Settings of every trusted handle. Readers ask for FINAL in their SQL: it is not set here."""

CONNECT_TIMEOUT_SECONDS = 10
"""A server that takes longer to accept a connection does not serve us."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_FORMAT = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def open_store(
    url: str, *, engine_threads: int | None = None, cluster: Cluster | str | None = None
) -> Store:
    """Open a store; its schema may still be missing (see ``migrations``).

    Args:
        url: ``chdb:///absolute/path``, ``chdb://memory``, ``clickhouse://user:password@host:8123/db``
            or ``clickhouses://…`` (TLS).
        engine_threads: how many threads one query may use; None leaves it to the engine.
        cluster: the cluster of the server's that holds the tables, by name; None for one server.

    Raises:
        InvalidInputError: the URL has none of these forms, or a cluster cannot be there.
        StoreBusyError: another process owns the embedded store.
        StoreError: the engine is missing, or cannot open the store.
    """
    location = parse_location(url)
    if isinstance(cluster, str):
        cluster = Cluster(cluster, database=location.database)
    if not location.embedded:
        return Store(location, lock=None, engine_threads=engine_threads, cluster=cluster)
    if cluster is not None and cluster.coordinated:
        raise InvalidInputError(
            "An embedded store cannot be part of a cluster.",
            hint="Give a store clickhouse://…, or no cluster.",
            field="cluster",
        )
    try:
        importlib.import_module("chdb")
    except ImportError:
        raise StoreError(
            "The embedded store needs chDB, which is not installed.",
            hint='Install it with: pip install "mlp-analyzer[embedded]"',
        ) from None
    lock = PathLock(location.url, location.path)
    try:
        return Store(location, lock=lock, engine_threads=engine_threads, cluster=cluster)
    except BaseException:
        lock.release()
        raise


class Store:
    """One open store. Safe to use from many threads.

    ``query``, ``columns``, ``execute`` and the inserts run trusted SQL, one statement at a time,
    with ``{name:Type}`` parameters, and raise ``StoreError``, whose message holds neither the
    statement nor a password. ``ask`` runs a user's SQL.
    """

    def __init__(
        self,
        location: StoreLocation,
        *,
        lock: PathLock | None,
        engine_threads: int | None,
        cluster: Cluster | None = None,
    ) -> None:
        self.url = location.url
        """The address, without a password."""
        self.embedded = location.embedded
        self.cluster = cluster
        """The cluster our tables lie on; None for one server."""
        self._location = location
        self._lock = lock
        threads: Settings = () if engine_threads is None else (("max_threads", engine_threads),)
        self._settings: Settings = BASE_SETTINGS + threads
        self.handles = Handles(self._connect)
        """Where the rest of the store takes handles from; nothing above it does."""
        self._engine_version = ""
        # The engine (and with it a store in memory) lives as long as one handle is open; this one
        # is never used, so no error ever closes it.
        self._anchor = self._connect({}) if self.embedded else None
        self._gate = Gate(self.handles, threads=engine_threads)

    @property
    def engine_version(self) -> str:
        """The version of the engine behind the store."""
        if not self._engine_version:
            self._engine_version = str(self.query("SELECT version()")[0][0])
        return self._engine_version

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return all rows of a trusted query; instants are aware UTC, FixedString is bytes."""
        statement = single_statement(sql)
        with self.lend("answer a query") as client:
            result = client.query(statement, parameters=_parameters(parameters), query_tz="UTC")
            return [tuple(row) for row in result.result_rows]

    def columns(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> dict[str, Sequence[Any]]:
        """Return the columns of a trusted query by name.

        Numbers, dates and instants (``datetime64``, UTC) are numpy arrays; everything else, and
        whatever holds NULL, is a list. FixedString is bytes, a map a dictionary.
        """
        statement = single_statement(sql)
        with self.lend("answer a query") as client:
            raw = client.raw_query(statement, parameters=_parameters(parameters), fmt="Arrow")
        return arrow_columns(pa.ipc.open_file(pa.BufferReader(raw)).read_all())

    def execute(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Run one trusted statement that returns nothing: DDL, INSERT … SELECT, ALTER.

        It is written for one server; on a cluster, whatever it takes there is sent instead.

        Args:
            sql: the statement.
            parameters: values of its ``{name:Type}`` parameters.
            settings: engine settings for this statement alone.
        """
        statement = single_statement(sql)
        for each in self.cluster.spread(statement) if self.cluster else (statement,):
            with self.lend("run a statement", settings) as client:
                client.command(each, parameters=_parameters(parameters))

    def insert_rows(
        self,
        table: str,
        column_names: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        token: str | None = None,
    ) -> None:
        """Insert a few rows of Python values, as one block.

        Args:
            table: where to.
            column_names: what each row's values are.
            rows: the rows; none is fine.
            token: names the block, so that the same one sent again changes nothing.
        """
        if not rows:
            return
        with self.lend(f"insert into {table}") as client:
            client.insert(
                _identifier(table), rows, column_names=list(column_names), settings=_token(token)
            )

    def insert(
        self,
        table: str,
        column_names: Sequence[str],
        payload: bytes,
        *,
        data_format: str,
        token: str | None = None,
    ) -> None:
        """Insert many rows given as bytes in a ClickHouse format (Native, RowBinary, Arrow, …).

        On the embedded engine the bytes go through a file: handed over within the statement they
        would be cut at the first blank line and the rest run as SQL.
        """
        if not _FORMAT.fullmatch(data_format):
            raise StoreError(f"{data_format!r} is not the name of a format.")
        with self.lend(f"insert into {table}") as client:
            client.raw_insert(
                _identifier(table),
                list(column_names),
                payload,
                settings=_token(token),
                fmt=data_format,
            )

    def ask(self, sql: str, *, limits: QueryLimits | None = None) -> Answer:
        """Run a user's SELECT through the gate (see ``gate``).

        Raises:
            QueryRefusedError: it is not one plain SELECT over what readers may read.
            QueryLimitError: it asks for too much time, memory or rows (also while iterating).
            QueryFailedError: the engine cannot run it.
        """
        return self._gate.ask(sql, limits or QueryLimits())

    def create_database(self) -> None:
        """Create the server's database the URL names if it is missing."""
        if self.embedded:
            return
        try:
            client = clickhouse_connect.get_client(
                **cast("dict[str, Any]", self._location.client_arguments(database=False)),
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
            )
            try:
                on_cluster = f" ON CLUSTER {self.cluster.name}" if self.cluster else ""
                client.command(
                    f"CREATE DATABASE IF NOT EXISTS `{self._location.database}`{on_cluster}"
                )
            finally:
                client.close()
        except ClickHouseError as error:
            raise self._error("create its database", error) from None

    def announce(self, address: str) -> None:
        """Tell processes that want this embedded store where its service is (host:port)."""
        if self._lock is not None:
            self._lock.announce(address)

    def close(self) -> None:
        """Close every handle and give the store up; calling it again does nothing."""
        self.handles.close()
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @contextlib.contextmanager
    def lend(self, what: str, settings: Mapping[str, object] | None = None) -> Iterator[Client]:
        """Lend a handle for one call; the engine's errors come out as ours and end the handle."""
        extra: Settings = tuple(sorted((settings or {}).items()))
        try:
            with self.handles.lend(self._settings + extra) as client:
                yield client
        except ClickHouseError as error:
            raise self._error(what, error) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreError(f"The store could not {what}: {why}.") from error

    def _connect(self, settings: Mapping[str, Any]) -> Client:
        arguments = cast("dict[str, Any]", dict(self._location.client_arguments()))
        if not self.embedded:
            arguments["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
        try:
            return clickhouse_connect.get_client(
                # What a cluster needs comes first: nothing can be set after a reader's limits.
                **arguments,
                settings={**dict(self.cluster.settings if self.cluster else ()), **settings},
                tz_mode="aware",
            )
        except ClickHouseError as error:
            raise self._error(f"be opened at {self.url}", error) from error

    def _error(self, what: str, error: ClickHouseError) -> StoreError:
        raised = store_error(what, error)
        if self._location.password:
            raised.message = raised.message.replace(self._location.password, "***")
            raised.args = (raised.message,)
        return raised


def _identifier(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is not the name of a table.")
    return name


def _parameters(parameters: Mapping[str, object] | None) -> dict[str, Any] | None:
    return dict(parameters) if parameters else None


def _token(token: str | None) -> dict[str, Any] | None:
    return None if token is None else {"insert_deduplication_token": token}
