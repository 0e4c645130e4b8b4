"""Group commit: what many requests bring while one insert runs becomes the next insert.

One thread per table writes. A request is answered when its own rows are stored, so that an
acknowledgement survives a crash; merging comes by itself when the store is slower than the
senders, and a lone request waits for nobody.

An insert refused for its content is tried again request by request; a request that is refused alone
is taken apart row by row by a second thread, so that it delays nobody but its own sender.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson

from analyzer_service.errors import StoreError
from analyzer_service.ingest import rowbinary
from analyzer_service.ingest.findings import Rejection, shortened
from analyzer_service.ingest.tables import DATA_FORMAT, SERVICE_COLUMN, RawTable

INSERT_ROWS: Final = 65_536
"""Rows at which an insert is closed: the engine's own block size; larger inserts gain nothing."""

INSERT_BYTES: Final = 32 * 1024 * 1024
"""Bytes at which an insert is closed; the engine holds a few copies of an insert in memory."""

QUEUE_BYTES: Final = 128 * 1024 * 1024
"""Rows waiting for the writer; about three seconds of its work on a small machine."""

QUEUE_WAIT_SECONDS: Final = 5.0
"""How long a request waits for a place in the queue: half of an SDK's usual deadline of 10 s."""

RECORD_CHARACTERS: Final = 4096
"""How much of a row that the store refused is kept with its reason."""

_log = logging.getLogger(__name__)


class WriteResult(Protocol):
    """What became of an insert: rows stored, and (row, reason) of those the store refused."""

    @property
    def stored(self) -> int:
        """Rows that are stored."""
        ...

    @property
    def rejected(self) -> Sequence[tuple[int, str]]:
        """Position and reason of each row that never can be."""
        ...


class RawSink(Protocol):
    """Where rows go; :class:`analyzer_service.store.writer.RawWriter` is one."""

    def write_whole(
        self, table: str, column_names: Sequence[str], payload: bytes, *, data_format: str
    ) -> bool:
        """Insert rows; False if refused for their content, StoreError if to be tried again."""
        ...

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
        service: Callable[[int], str],
    ) -> WriteResult:
        """Insert the rows that can be, reject the others; StoreError if to be tried again."""
        ...

    def reject_many(self, rejections: Sequence[tuple[str, str, str, str, str]]) -> None:
        """Keep records that cannot be stored: source, service, reason, detail, text of each."""
        ...


OVERLOADED: Final = "overloaded"
STORE_FAILED: Final = "store_failed"
"""Why requests are asked to come again."""


class RetryLaterError(Exception):
    """The rows could not be stored now; the same request may succeed later.

    Attributes:
        overloaded: The queue was full, as opposed to the store having failed.
    """

    def __init__(self, message: str, *, overloaded: bool) -> None:
        """Say why, and which of the two it is."""
        super().__init__(message)
        self.overloaded = overloaded

    @property
    def reason(self) -> str:
        """The word under which it is counted."""
        return OVERLOADED if self.overloaded else STORE_FAILED


@dataclass
class _Batch:
    rows: list[bytes]
    rejections: Sequence[Rejection]
    size: int
    done: threading.Event = field(default_factory=threading.Event)
    refused: list[str] = field(default_factory=list)
    failure: RetryLaterError | None = None


class Committer:
    """Writes one table, merging what waits."""

    def __init__(self, sink: RawSink, table: RawTable, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._sink = sink
        self._table = table
        self._queue_bytes = queue_bytes
        self._waiting: deque[_Batch] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._refused: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        name = f"ingest-{table.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._apart = threading.Thread(target=self._salvage, name=f"{name}-refused", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        self._apart.start()

    def stop(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in (self._thread, self._apart):
            if thread.is_alive():
                thread.join()

    def commit(self, rows: list[bytes], rejections: Sequence[Rejection]) -> list[str]:
        """Store rows and keep rejections; return, once that is done, why which rows were refused.

        Raises:
            RetryLaterError: They are not stored, or not all of them.
        """
        if not rows and not rejections:
            return []
        batch = _Batch(rows, rejections, sum(map(len, rows)))
        self._enqueue(batch)
        batch.done.wait()
        if batch.failure is not None:
            raise batch.failure
        return batch.refused

    def _enqueue(self, batch: _Batch) -> None:
        with self._changed:
            if not self._changed.wait_for(self._has_room, QUEUE_WAIT_SECONDS):
                raise RetryLaterError(
                    "more telemetry comes than can be stored: try again later", overloaded=True
                )
            if self._closing:
                raise RetryLaterError("the service is stopping: try again", overloaded=False)
            self._waiting.append(batch)
            self._waiting_bytes += batch.size
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._closing or self._waiting_bytes < self._queue_bytes

    def _run(self) -> None:
        while batches := self._take():
            self._store(batches)
        self._refused.put(None)

    def _salvage(self) -> None:
        while (batch := self._refused.get()) is not None:
            self._settle([batch], self._take_apart)

    def _take(self) -> list[_Batch]:
        """Wait for batches and return as many as make one insert; none when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            taken: list[_Batch] = []
            rows = size = 0
            while self._waiting and (
                not taken or (rows < INSERT_ROWS and size + self._waiting[0].size <= INSERT_BYTES)
            ):
                batch = self._waiting.popleft()
                taken.append(batch)
                rows += len(batch.rows)
                size += batch.size
            self._waiting_bytes -= size
            self._changed.notify_all()
            return taken

    def _store(self, batches: Sequence[_Batch]) -> None:
        """Write batches as one insert; refused for their content, each by itself."""
        if self._settle(batches, self._write):
            return
        if len(batches) == 1:
            self._refused.put(batches[0])
            return
        for batch in batches:
            self._store([batch])

    def _settle(self, batches: Sequence[_Batch], work: Callable[[Sequence[_Batch]], bool]) -> bool:
        """Do some work and answer the senders; False if it only says that the rows are refused."""
        try:
            if not work(batches):
                return False
            self._reject(batches)
        except StoreError as error:
            _log.warning("rows for %s wait for their senders to retry: %s", self._table.name, error)
            _fail(batches, "the store is not ready: try again")
        except Exception:
            # The senders keep their rows and the thread lives on, whatever the fault is.
            _log.exception("writing %s failed", self._table.name)
            _fail(batches, "the store failed: try again")
        for batch in batches:
            batch.done.set()
        return True

    def _write(self, batches: Sequence[_Batch]) -> bool:
        payload = b"".join(row for batch in batches for row in batch.rows)
        return not payload or self._sink.write_whole(
            self._table.name, self._table.column_names, payload, data_format=DATA_FORMAT
        )

    def _take_apart(self, batches: Sequence[_Batch]) -> bool:
        for batch in batches:
            batch.refused = self._refusals(batch.rows)
        return True

    def _refusals(self, rows: Sequence[bytes]) -> list[str]:
        """Store the rows that can be; return why each of the others cannot."""
        result = self._sink.write(
            self._table.name,
            self._table.column_names,
            b"".join(rows),
            data_format=DATA_FORMAT,
            rows=len(rows),
            split=lambda start, stop: b"".join(rows[start:stop]),
            describe=lambda row: self._describe(rows[row]),
            service=lambda row: str(self._record(rows[row])[SERVICE_COLUMN]),
        )
        return [reason for _, reason in result.rejected]

    def _reject(self, batches: Sequence[_Batch]) -> None:
        # Request by request: a request that is sent again is then recognised by the store.
        source = self._table.source
        for batch in batches:
            if batch.rejections:
                self._sink.reject_many(
                    [
                        (source, one.service, one.reason, one.detail, one.record)
                        for one in batch.rejections
                    ]
                )

    def _describe(self, row: bytes) -> str:
        return shortened(orjson.dumps(self._record(row)).decode(), RECORD_CHARACTERS)

    def _record(self, row: bytes) -> Mapping[str, object]:
        return rowbinary.RowReader(row).record(self._table.columns)


def _fail(batches: Sequence[_Batch], message: str) -> None:
    for batch in batches:
        batch.failure = RetryLaterError(message, overloaded=False)
