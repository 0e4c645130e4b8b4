"""Writing raw telemetry: what can be stored is, what cannot is kept beside it with the reason.

A batch that can never be stored must not hold up the others, and one bad row must not take good
ones with it: a batch refused twice for its content is halved until the bad rows stand alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store
from analyzer_service.store.faults import content_at_fault, engine_name

SOURCES = {"otel_traces": "traces", "otel_logs": "logs", "otel_metrics_sum": "metrics"}
"""How ``rejected.source`` calls the rows of a table: as the store's accounting does."""

RECORD_CHARACTERS = 65_536
"""How much of a rejected record is kept: any real one, but no bomb."""

DETAIL_CHARACTERS = 2_000

WHOLE_ATTEMPTS = 2
"""How often a whole batch is tried before it is taken apart; its parts are tried once."""

REJECTED_COLUMNS = ("source", "service_name", "reason", "detail", "record")

Rejection = tuple[str, str, str, str, str]
"""Source, service, reason, detail, record."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch: every row is stored or rejected."""

    stored: int
    rejected: tuple[tuple[int, str], ...]
    """Position in the batch and reason of each row that was refused."""


@dataclass(slots=True)
class _Batch:
    table: str
    column_names: Sequence[str]
    data_format: str
    split: Callable[[int, int], bytes]
    describe: Callable[[int], str]
    service: Callable[[int], str]
    refused: dict[int, str] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)


class RawWriter:
    """Writes rows of ``otel_traces`` and ``otel_logs``. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_whole(
        self, table: str, column_names: Sequence[str], payload: bytes, *, data_format: str
    ) -> bool:
        """Insert a batch in one go; tell whether it is stored, or refused twice for its content.

        Raises:
            StoreError: the store cannot take the batch now.
        """
        return self._refusal(table, column_names, payload, data_format, WHOLE_ATTEMPTS) is None

    def write(
        self,
        table: str,
        column_names: Sequence[str],
        payload: bytes,
        *,
        data_format: str,
        rows: int,
        split: Callable[[int, int], bytes],
        describe: Callable[[int], str],
        service: Callable[[int], str] | None = None,
    ) -> WriteResult:
        """Insert a batch; when this returns, every row is in the table or in ``rejected``.

        Taking a batch apart costs two inserts for each bad row, some 30 ms; a caller that cannot
        wait tries ``write_whole`` first.

        Args:
            table: where to.
            column_names: the columns of the payload.
            payload: the rows in a ClickHouse format.
            data_format: which one.
            rows: how many there are.
            split: gives the payload of the rows from ``start`` up to but not including ``stop``.
            describe: gives one row as JSON text, for ``rejected``.
            service: gives the service a row belongs to, if that can be told.

        Raises:
            StoreError: the store cannot take the batch now (disk, memory, connection, schema). Some
                of it may be stored; sending the whole again changes nothing about those rows.
        """
        batch = _Batch(table, column_names, data_format, split, describe, service or _unknown)
        if rows:
            self._insert(batch, payload, 0, rows, attempts=WHOLE_ATTEMPTS)
        if batch.rejections:
            self.reject_many(batch.rejections)
        return WriteResult(
            stored=rows - len(batch.refused), rejected=tuple(sorted(batch.refused.items()))
        )

    def reject(
        self, source: str, reason: str, detail: str, record: str, *, service: str = ""
    ) -> None:
        """Keep one record that cannot be stored."""
        self.reject_many([(source, service, reason, detail, record)])

    def reject_many(self, rejections: Sequence[Rejection]) -> None:
        """Keep records that cannot be stored: source, service, reason, detail and text of each.

        The same records sent again are kept once, like rows that can be stored.
        """
        rows = [
            (
                source,
                _storable(service),
                reason,
                _storable(detail)[:DETAIL_CHARACTERS],
                _storable(record)[:RECORD_CHARACTERS],
            )
            for source, service, reason, detail, record in rejections
        ]
        token = hashlib.sha256(repr(rows).encode()).hexdigest()
        self._store.insert_rows("rejected", REJECTED_COLUMNS, rows, token=token)

    def _insert(
        self, batch: _Batch, payload: bytes, start: int, stop: int, *, attempts: int = 1
    ) -> None:
        error = self._refusal(batch.table, batch.column_names, payload, batch.data_format, attempts)
        if error is None:
            return
        if stop - start == 1:
            reason = engine_name(error)
            batch.refused[start] = reason
            source = SOURCES.get(batch.table, batch.table)
            batch.rejections.append(
                (source, batch.service(start), reason, error.message, batch.describe(start))
            )
            return
        middle = (start + stop) // 2
        self._insert(batch, batch.split(start, middle), start, middle)
        self._insert(batch, batch.split(middle, stop), middle, stop)

    def _refusal(
        self,
        table: str,
        column_names: Sequence[str],
        payload: bytes,
        data_format: str,
        attempts: int,
    ) -> StoreError | None:
        """Insert; say what the content was refused for, as often as was tried."""
        refusal = None
        for _ in range(attempts):
            try:
                self._store.insert(table, column_names, payload, data_format=data_format)
            except StoreError as error:
                if not content_at_fault(error):
                    raise
                refusal = error
            else:
                return None
        return refusal


def _unknown(_: int) -> str:
    return ""


def _storable(text: str) -> str:
    """Replace lone surrogates, which no encoding takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
