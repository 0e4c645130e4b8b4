"""The answer to a user's query: its columns, then its rows as JSON text, streamed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from analyzer_service.domain import QueryColumn
from analyzer_service.errors import AnalyzerError, QueryLimitError


class Lease:
    """The handle an answer holds, given up exactly once.

    Args:
        give_back: for a handle whose answer was read to its end.
        discard: for any other: closing it stops the query.
    """

    def __init__(self, give_back: Callable[[], None], discard: Callable[[], None]) -> None:
        self._give_back = give_back
        self._discard = discard
        self.open = True

    def end(self) -> None:
        """The answer was read to its end."""
        if self.open:
            self.open = False
            self._give_back()

    def abort(self) -> None:
        """The answer failed or nobody wants the rest."""
        if self.open:
            self.open = False
            self._discard()


class Answer:
    """Rows on their way. Iterate once, or close; the handle is given up when either ends.

    Each row is one JSON array as text, values in the order of ``columns``. Integers are JSON
    numbers at any size, NaN and infinities null; bytes that are no UTF-8 become U+FFFD.

    Args:
        columns: names and types.
        blocks: the engine's blocks, each with one column of JSON texts as bytes.
        lease: the handle the blocks come from.
        translate: turns an engine error into one of ours.
        result_bytes: how many bytes of rows there may be.
    """

    def __init__(
        self,
        columns: tuple[QueryColumn, ...],
        blocks: Iterator[Sequence[Sequence[Any]]],
        *,
        lease: Lease,
        translate: Callable[[ClickHouseError], AnalyzerError],
        result_bytes: int,
    ) -> None:
        self.columns = columns
        self._lease = lease
        self._rows = _rows(blocks, lease, translate, result_bytes)
        # An answer that is simply dropped must not hold its handle, and its query, for good.
        self._finalizer = weakref.finalize(self, lease.abort)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._rows)

    def close(self) -> None:
        """Stop: rows not read yet are never computed."""
        self._finalizer()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _rows(
    blocks: Iterator[Sequence[Sequence[Any]]],
    lease: Lease,
    translate: Callable[[ClickHouseError], AnalyzerError],
    result_bytes: int,
) -> Iterator[str]:
    sent = 0
    try:
        for block in blocks:
            for row in block[0]:
                sent += len(row)
                if sent > result_bytes:
                    lease.abort()
                    raise QueryLimitError(
                        f"The answer is longer than {result_bytes} bytes.",
                        hint="Select fewer columns or rows, or aggregate.",
                    )
                yield row.decode("utf-8", "replace")
                if not lease.open:
                    return
    except ClickHouseError as error:
        lease.abort()
        raise translate(error) from None
    lease.end()
