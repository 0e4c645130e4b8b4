"""Job logs as rows of text, one after the other: a log may be larger than memory.

CSV, gzipped CSV and Parquet are told apart by their first bytes, not their names. A line of CSV
is a row, whatever quotes it holds: a quote that is never closed then costs one row and not the
rest of the log.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from analyzer_service.errors import InvalidInputError, NotFoundError
from analyzer_service.replay.mapping import Mapping
from analyzer_service.replay.values import BrokenRowError

MAX_LINE_CHARACTERS: Final = 1_000_000
"""A longer line is no job; reading goes on after its end."""

PARQUET_BATCH_ROWS: Final = 8_192
"""Rows of a Parquet file in memory at once."""

GZIP_MAGIC: Final = b"\x1f\x8b"
PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a log.

    Attributes:
        number: Its line in a CSV file (the header is 1), its row in a Parquet file (from 1).
        cells: Its fields as text, as many as there are columns; empty if it is broken.
        broken: Why it cannot be read, or nothing.
    """

    number: int
    cells: list[str]
    broken: BrokenRowError | None = None


class JobLog(Protocol):
    """An open job log."""

    columns: tuple[str, ...]
    """Names of the columns."""
    instants: frozenset[str]
    """Columns the file itself knows to be instants; their cells are nanoseconds since 1970."""
    size: int
    """Whole size, in the unit of :meth:`position`: bytes of the file, or rows."""

    def position(self) -> int:
        """Return how far reading came."""
        ...

    def rows(self, columns: frozenset[str]) -> Iterator[Row]:
        """Read the rows; cells outside the given columns may stay empty."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_log(path: Path, mapping: Mapping) -> JobLog:
    """Open a job log.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It cannot be read at all.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"There is no job log {path}.", field="file") from None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.", field="file") from None
    try:
        magic = file.read(len(PARQUET_MAGIC))
        file.seek(0)
        if magic == PARQUET_MAGIC:
            return _ParquetLog(file, path, mapping)
        return _CsvLog(file, path, mapping, zipped=magic.startswith(GZIP_MAGIC))
    except BaseException:
        file.close()
        raise


class _CsvLog:
    instants: frozenset[str] = frozenset()

    def __init__(self, file: BinaryIO, path: Path, mapping: Mapping, *, zipped: bool) -> None:
        self._file = file
        self.size = path.stat().st_size
        self._delimiter = mapping.delimiter
        self._encoding = mapping.encoding
        plain = gzip.GzipFile(fileobj=file) if zipped else file
        # Bytes that are no text are kept as lone surrogates, noticed, and break their row alone.
        # Only \n ends a line, so that a stray \r stays inside its row.
        self._text = io.TextIOWrapper(
            io.BufferedReader(plain),  # type: ignore[type-var]
            encoding=mapping.encoding,
            errors="surrogateescape",
            newline="\n",
        )
        try:
            header = self._text.readline(MAX_LINE_CHARACTERS).removeprefix("\ufeff")
            self.columns = tuple(cell.strip() for cell in self._cells(header))
        except (EOFError, OSError, zlib.error, BrokenRowError) as error:
            raise InvalidInputError(
                f"The first line of {path} cannot be read: {error}.",
                hint="Give a CSV file with a header, gzipped or not, or a Parquet file.",
                field="file",
            ) from None
        if not header.strip():
            raise InvalidInputError(
                f"{path} has no header line.",
                hint="Its first line must name the columns.",
                field="file",
            )

    def position(self) -> int:
        return self._file.tell()

    def rows(self, columns: frozenset[str]) -> Iterator[Row]:  # noqa: ARG002 - lines are cheap
        number = 1
        while True:
            number += 1
            try:
                line = self._text.readline(MAX_LINE_CHARACTERS)
            except (EOFError, OSError, zlib.error) as error:
                problem = f"the file is damaged from here on ({error})"
                broken = BrokenRowError("", problem, "Fetch it again and replay it again.")
                yield Row(number, [], broken)
                return
            if not line:
                return
            if line.strip():
                yield self._row(number, line)

    def _row(self, number: int, line: str) -> Row:
        try:
            return Row(number, self._checked(line))
        except UnicodeEncodeError:
            problem = f"the line is not {self._encoding}"
            cure = "Convert the file, or set encoding in the mapping."
            return Row(number, [], BrokenRowError("", problem, cure))
        except BrokenRowError as broken:
            return Row(number, [], broken)

    def _checked(self, line: str) -> list[str]:
        if len(line) >= MAX_LINE_CHARACTERS and not line.endswith("\n"):
            self._skip_line()
            problem = f"the line is longer than {MAX_LINE_CHARACTERS} characters"
            raise BrokenRowError("", problem, "Remove it.")
        cells = self._cells(line)
        if len(cells) != len(self.columns):
            problem = f"{len(cells)} fields where the header has {len(self.columns)}"
            cure = "Quote fields that hold the delimiter, or complete the line."
            raise BrokenRowError("", problem, cure)
        line.encode("utf-8")
        return cells

    def _skip_line(self) -> None:
        while (rest := self._text.readline(MAX_LINE_CHARACTERS)) and not rest.endswith("\n"):
            pass

    def _cells(self, line: str) -> list[str]:
        line = line.rstrip("\r\n")
        if '"' not in line:
            return line.split(self._delimiter)
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            cure = "Close or double the quotes; a row must stand on one line."
            raise BrokenRowError("", f"the quotes do not match ({error})", cure) from None

    def close(self) -> None:
        self._text.close()
        self._file.close()


class _ParquetLog:
    def __init__(self, file: BinaryIO, path: Path, mapping: Mapping) -> None:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and only Parquet needs it
        from pyarrow import parquet  # noqa: PLC0415

        self._file = file
        self._zone = mapping.time.zone or "UTC"
        try:
            self._parquet = parquet.ParquetFile(file)
        except pa.ArrowException as error:
            raise InvalidInputError(
                f"{path} is a damaged Parquet file: {error}.", hint="Fetch it again.", field="file"
            ) from None
        schema = self._parquet.schema_arrow
        self.columns = tuple(schema.names)
        self.instants = frozenset(
            field.name for field in schema if pa.types.is_timestamp(field.type)
        )
        self.size = self._parquet.metadata.num_rows
        self._read = 0

    def position(self) -> int:
        return self._read

    def rows(self, columns: frozenset[str]) -> Iterator[Row]:
        import pyarrow as pa  # noqa: PLC0415

        wanted = [name for name in self.columns if name in columns]
        batches = self._parquet.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=wanted)
        empty = [""] * PARQUET_BATCH_ROWS
        try:
            for batch in batches:
                read = dict(zip(wanted, map(self._texts, batch.columns), strict=True))
                for cells in zip(*(read.get(name, empty) for name in self.columns), strict=False):
                    self._read += 1
                    yield Row(self._read, list(cells))
        except (pa.ArrowException, OSError) as error:
            problem = f"the file is damaged from here on ({error})"
            yield Row(
                self._read + 1, [], BrokenRowError("", problem, "Fetch it again and replay again.")
            )

    def _texts(self, column: Any) -> list[str]:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        if pa.types.is_timestamp(column.type):
            if column.type.tz is None:
                column = pc.assume_timezone(
                    column, self._zone, ambiguous="earliest", nonexistent="earliest"
                )
            column = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        return [_text(value) for value in column.to_pylist()]

    def close(self) -> None:
        self._parquet.close()
        self._file.close()


def _text(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    return value if isinstance(value, str) else str(value)
