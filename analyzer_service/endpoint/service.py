"""What each role may have done, and how it is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from analyzer_service import audit
from analyzer_service.endpoint import handshake
from analyzer_service.endpoint.errors import EndpointError, as_endpoint_error
from analyzer_service.endpoint.inserts import (
    Insert,
    Inserter,
    check_event_names,
    check_table,
    parse_insert,
)
from analyzer_service.endpoint.options import sort_options
from analyzer_service.endpoint.request import ClientRequest
from analyzer_service.endpoint.settings import OPERATOR, READER, WRITER, EndpointSettings
from analyzer_service.errors import AnalyzerError, QueryRefusedError
from analyzer_service.store.connect import Store
from analyzer_service.store.raw import RawAnswer, RawQueries, RawQuestion

READER_TABLES: Final = frozenset(
    {
        "accounting", "accounting_path", "analyses", "arrivals", "arrivals_counted", "challenges",
        "path_metrics", "schema_migrations", "segments", "services_daily", "settled_days",
        "settlements", "signal_map", "signal_map_rules", "turned_away",
    }
)  # fmt: skip
"""What readers may read: results over many people, and the service's own state. Every other table
has rows about one person."""

DATABASE: Final = "default"
"""The embedded store's one database."""

METHOD: Final = "ClickHouse"
"""What the audit log calls a query here, beside the methods of gRPC."""

ONLY_WRITES: Final = (
    "A writer may send what the Collector's exporter sends: its handshake, SELECT 1, DESCRIBE, "
    "CREATE … IF NOT EXISTS (without effect) and INSERT INTO otel_traces, otel_logs or "
    "otel_metrics_sum"
)

_SPACE = re.compile(r"\s+")
_CREATE = re.compile(
    r"\s*CREATE\s+(DATABASE|TABLE|MATERIALIZED\s+VIEW|VIEW)\s+IF\s+NOT\s+EXISTS\s", re.I
)
_DESCRIBE = re.compile(
    r"""\s*(?:DESCRIBE|DESC)\s+(?:TABLE\s+)?(?:[`"]?\w+[`"]?\s*\.\s*)?[`"]?\w+[`"]?"""
    r"(?:\s+FORMAT\s+\w+)?\s*;?\s*",
    re.I,
)
_PROBE = re.compile(r"\s*SELECT\s+1(?:\s+FORMAT\s+\w+)?\s*;?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: bytes as they come, and what they are."""

    chunks: Iterator[bytes]
    data_format: str = ""
    written_rows: int = 0
    answer: RawAnswer | None = None
    """What has to be closed when nobody wants the rest."""


class QueryService:
    """Runs what clients send, as far as their role goes. Safe to use from many threads."""

    def __init__(self, store: Store, settings: EndpointSettings) -> None:
        self._store = store
        self._limits = settings.limits
        self._queries = RawQueries(store, limits=settings.limits, threads=settings.engine_threads)
        self._inserter = Inserter(store)

    def run(self, request: ClientRequest, role: str, *, peer: str = "") -> Reply:
        """Answer a request.

        Args:
            request: what a client wants.
            role: of the token that came with it.
            peer: where it came from, for the audit log.

        Raises:
            EndpointError: it is not answered; also while iterating over the reply's chunks.
        """
        _check_database(request.options.transport.get("database", ""))
        try:
            if _normal(request.statement) == handshake.HELLO:
                return self._hello(request)
            if request.first_word == "INSERT":
                return self._insert(request, role)
            if _CREATE.match(request.statement):
                return self._create(request, role)
            if role == WRITER and not _exporters(request.statement):
                raise EndpointError("ACCESS_DENIED", ONLY_WRITES)
            return self._audited_query(request, role, peer)
        except AnalyzerError as error:
            raise as_endpoint_error(error) from error

    def set_aside(self, request: ClientRequest, why: str) -> Reply:
        """Answer a writer's INSERT that is too large, and keep that there was one.

        Raises:
            EndpointError: it is not an INSERT that would be taken.
        """
        insert = self._checked_insert(request)
        try:
            self._inserter.set_aside(insert, request.statement, why)
        except AnalyzerError as error:
            raise as_endpoint_error(error) from error
        return Reply(iter(()))

    def _hello(self, request: ClientRequest) -> Reply:
        revision = request.options.transport.get("client_protocol_version", "0")
        block = handshake.hello_block(
            self._store.engine_version, int(revision) if revision.isdecimal() else 0
        )
        return Reply(iter((block,)), "Native")

    def _create(self, request: ClientRequest, role: str) -> Reply:
        if role == READER:
            raise EndpointError("ACCESS_DENIED", "A reader may not create anything")
        if request.readonly:
            raise _readonly()
        return Reply(iter(()))

    def _insert(self, request: ClientRequest, role: str) -> Reply:
        if role == READER:
            raise EndpointError("ACCESS_DENIED", "A reader may not insert")
        if request.readonly:
            raise _readonly()
        insert = self._checked_insert(request)
        return Reply(iter(()), written_rows=self._stored(insert, request, role))

    def _checked_insert(self, request: ClientRequest) -> Insert:
        insert = parse_insert(
            request.statement, request.options.transport.get("default_format", "")
        )
        _check_database(insert.database)
        check_table(insert.table)
        return insert

    def _stored(self, insert: Insert, request: ClientRequest, role: str) -> int:
        own = sort_options(insert.settings).insert_settings()
        settings = request.options.insert_settings() | own
        if not request.data:
            return 0
        if role == WRITER:
            check_event_names(insert)
            return self._inserter.insert_or_reject(insert, request.data, settings)
        try:
            return self._inserter.insert(insert, request.data, settings)
        except AnalyzerError as error:
            raised = as_endpoint_error(error)
            raised.status = 400 if raised.code != 0 else raised.status
            raise raised from error

    def _audited_query(self, request: ClientRequest, role: str, peer: str) -> Reply:
        """Answer a query; whoever may see, or wanted to see, rows about one person is noted."""
        entry = _audit_entry(request, role, peer)
        if role == OPERATOR:
            entry(granted=True)
        try:
            return self._query(request, role)
        except QueryRefusedError:
            if role == READER:
                entry(granted=False)
            raise

    def _query(self, request: ClientRequest, role: str) -> Reply:
        question = RawQuestion(
            sql=request.statement,
            data_format=request.options.transport.get("default_format", "TabSeparated"),
            parameters=request.options.parameters,
            settings=request.options.query_settings(),
            tables=None if role == OPERATOR else READER_TABLES,
            known=handshake.KNOWN_QUERIES,
        )
        answer = self._queries.ask(question, request.options.limits(self._limits))
        return Reply(_told(answer), answer.data_format, answer=answer)


def _audit_entry(request: ClientRequest, role: str, peer: str) -> Callable[..., None]:
    values = request.options.parameters
    subject = f"{request.statement} {dict(values)}" if values else request.statement
    return partial(audit.record, method=METHOD, role=role, subject=subject, peer=peer)


def _told(answer: RawAnswer) -> Iterator[bytes]:
    """Yield an answer's bytes; what goes wrong on the way comes out as the client is told it."""
    try:
        yield from answer
    except AnalyzerError as error:
        raise as_endpoint_error(error) from error


def _check_database(name: str) -> None:
    if name not in ("", DATABASE):
        raise EndpointError(
            "UNKNOWN_DATABASE",
            f"Database {name[:80]} does not exist: the only one here is {DATABASE}",
        )


def _exporters(statement: str) -> bool:
    return bool(_DESCRIBE.fullmatch(statement) or _PROBE.fullmatch(statement))


def _normal(statement: str) -> str:
    return _SPACE.sub(" ", statement).strip(" ;")


def _readonly() -> EndpointError:
    return EndpointError("READONLY", "A GET request changes nothing: use POST")
