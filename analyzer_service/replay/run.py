"""Sends a job log as telemetry, row by row, skipping and reporting what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from analyzer_service.otlp import encode
from analyzer_service.otlp.sender import OtlpSender, SendSummary
from analyzer_service.replay.log import JobLog, open_log
from analyzer_service.replay.mapping import Mapping as ReplayMapping
from analyzer_service.replay.state import ReplayState
from analyzer_service.replay.translate import Translator
from analyzer_service.replay.values import BrokenRowError
from otel_instrumentation import semconv

REQUEST_ROWS: Final = 2_000
"""Rows per request: some 0.7 MB, far below what receivers take, and well worth a round trip."""

REQUEST_BYTES: Final = 3 * 1024 * 1024
"""A request is closed earlier where rows are long."""

MAX_PROBLEMS: Final = 20
"""Broken rows described one by one; all are counted."""

SCOPE: Final = encode.scope("analyzer_service.replay", semconv.SCHEMA_VERSION)

Progress = Callable[[int, int | None], None]
"""Called with what was read and the whole (bytes of a CSV file, rows of a Parquet file)."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was skipped.

    Attributes:
        line: Its line in a CSV file (the header is 1), its row in a Parquet file (from 1).
        field: The field of the mapping, or empty for the line as a whole.
        problem: What is wrong.
        cure: What to do.
    """

    line: int
    field: str
    problem: str
    cure: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.field}" if self.field else f"line {self.line}"
        return f"{where}: {self.problem}. {self.cure}"


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What became of a job log.

    Attributes:
        rows_read: Rows of the log; ``rows_sent + rows_skipped + rows_resumed``.
        rows_sent: Rows sent now.
        rows_skipped: Broken rows.
        rows_resumed: Rows passed over because an earlier, interrupted run had sent them.
        rows_accepted: Rows the receiver took now.
        rows_rejected: Rows the receiver refused for good.
        retries: Requests sent again.
        problems: The first broken rows.
        skipped_by_field: How many rows were broken in which field of the mapping.
        messages: What the receiver has said to this sender so far.
    """

    rows_read: int
    rows_sent: int
    rows_skipped: int
    rows_resumed: int
    rows_accepted: int
    rows_rejected: int
    retries: int
    problems: tuple[RowProblem, ...]
    skipped_by_field: Mapping[str, int]
    messages: tuple[str, ...]


def replay(
    path: str | Path,
    mapping: ReplayMapping,
    sender: OtlpSender,
    *,
    progress: Progress | None = None,
    state: ReplayState | None = None,
) -> ReplaySummary:
    """Send a job log as telemetry with its own timestamps.

    Args:
        path: CSV, gzipped CSV or Parquet; read as a stream.
        mapping: What its columns mean.
        sender: Where to; it is drained, not closed.
        progress: Told how far reading came.
        state: Remembers acknowledged rows; a replay that ends well removes it.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: The file cannot be read at all.
        MappingError: It lacks columns the mapping reads.
        UnavailableError: The receiver is gone; with a ``state``, a later call goes on from there.
    """
    before = sender.drain()
    with closing(open_log(Path(path), mapping)) as log:
        run = _Run(mapping, log, state)
        for batch in run.batches():
            payload = encode.traces_request(run.resource, SCOPE, batch.spans)
            sender.send_traces(
                payload, records=len(batch.spans), acknowledged=_acknowledgement(state, batch)
            )
            if progress is not None:
                progress(log.position(), log.size)
    after = sender.drain()
    if state is not None:
        state.forget()
    return run.summary(before, after)


@dataclass(slots=True)
class _Batch:
    first_row: int
    end_row: int
    spans: list[bytes] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.spans) >= REQUEST_ROWS or self.size >= REQUEST_BYTES


def _acknowledgement(state: ReplayState | None, batch: _Batch) -> Callable[[], None] | None:
    if state is None:
        return None
    return partial(state.acknowledge, batch.first_row, batch.end_row)


class _Run:
    """Counts while it cuts a log into requests."""

    def __init__(self, mapping: ReplayMapping, log: JobLog, state: ReplayState | None) -> None:
        self._log = log
        self._translator = Translator(mapping, log)
        self._columns = frozenset(mapping.columns())
        self._resumed = state.rows_done if state is not None else 0
        self._read = self._sent = 0
        self._problems: list[RowProblem] = []
        self._skipped: Counter[str] = Counter()
        self.resource = encode.resource(
            {
                semconv.SERVICE_NAME: mapping.service or mapping.name,
                semconv.SCHEMA_VERSION_ATTRIBUTE: semconv.SCHEMA_VERSION,
            }
        )

    def batches(self) -> Iterator[_Batch]:
        """Yield what goes into one request each; broken rows belong to the batch they fall in."""
        batch = _Batch(self._resumed, self._resumed)
        for row in self._log.rows(self._columns):
            self._read += 1
            if self._read <= self._resumed:
                continue
            try:
                span = self._translator.span(row)
            except BrokenRowError as broken:
                self._skip(row.number, broken)
            else:
                batch.spans.append(span)
                batch.size += len(span)
                self._sent += 1
            batch.end_row = self._read
            if batch.full:
                yield batch
                batch = _Batch(self._read, self._read)
        if batch.spans:
            yield batch

    def _skip(self, line: int, broken: BrokenRowError) -> None:
        self._skipped[broken.field] += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(RowProblem(line, broken.field, broken.problem, broken.cure))

    def summary(self, before: SendSummary, after: SendSummary) -> ReplaySummary:
        return ReplaySummary(
            rows_read=self._read,
            rows_sent=self._sent,
            rows_skipped=self._skipped.total(),
            rows_resumed=min(self._resumed, self._read),
            rows_accepted=after.accepted - before.accepted,
            rows_rejected=after.rejected - before.rejected,
            retries=after.retries - before.retries,
            problems=tuple(self._problems),
            skipped_by_field=dict(self._skipped),
            messages=after.messages,
        )
