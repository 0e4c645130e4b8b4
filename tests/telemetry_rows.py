"""Rows of the raw tables for tests that begin behind the receiver."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from analyzer_service.store.connect import Store

MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
TRACE_COLUMNS = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "ServiceName",
    "SpanAttributes", "Duration", "StatusCode",
)  # fmt: skip
LOG_COLUMNS = ("Timestamp", "TraceId", "SpanId", "ServiceName", "LogAttributes", "EventName")


def identity(*parts: object, digits: int = 32) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:digits]


def person(name: str) -> str:
    return identity("person", name)


@dataclass(frozen=True)
class Span:
    trace: str
    name: str
    parent: str = ""
    user: str = ""
    when: datetime = MONDAY
    seconds: float = 1.0
    service: str = "studio"
    kind: str = "Internal"
    stage: str = "model_training"
    component: str = "jobs"
    action: str = "submit_job"
    action_kind: str = ""
    error: str = ""
    digest: str = ""
    session: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> list[Any]:
        said = {
            "mlp.stage": self.stage,
            "mlp.component": self.component,
            "mlp.action": self.action,
            "mlp.action.kind": self.action_kind,
            "mlp.action.digest": self.digest,
            "error.type": self.error,
            "user.hash": person(self.user) if self.user else "",
            "session.id": self.session,
            **self.extra,
        }
        return [
            nanoseconds(self.when),
            identity(self.trace),
            identity(self.trace, self.name, digits=16),
            identity(self.trace, self.parent, digits=16) if self.parent else "",
            self.name,
            self.kind,
            self.service,
            {key: value for key, value in said.items() if value},
            int(self.seconds * 1e9),
            "Error" if self.error else "Unset",
        ]


@dataclass(frozen=True)
class Record:
    event: str
    uid: str
    trace: str = ""
    inside: str = ""
    when: datetime = MONDAY
    service: str = "studio"
    attributes: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> list[Any]:
        return [
            nanoseconds(self.when),
            identity(self.trace) if self.trace else "",
            identity(self.trace, self.inside, digits=16) if self.inside else "",
            self.service,
            {"log.record.uid": self.uid, **self.attributes},
            self.event,
        ]


def nanoseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since // timedelta(microseconds=1)) * 1000


def add_spans(store: Store, spans: Iterable[Span], *, arrived: datetime | None = None) -> None:
    _add(store, "otel_traces", TRACE_COLUMNS, [span.row() for span in spans], arrived)


def add_records(
    store: Store, records: Iterable[Record], *, arrived: datetime | None = None
) -> None:
    _add(store, "otel_logs", LOG_COLUMNS, [record.row() for record in records], arrived)


def _add(
    store: Store, table: str, columns: tuple[str, ...], rows: list[Any], arrived: datetime | None
) -> None:
    names = [*columns, "IngestTime"] if arrived else list(columns)
    store.insert_rows(table, names, [[*row, arrived] if arrived else row for row in rows])
