"""A plain table of users' weeks, CSV or Parquet, read for ``mlp-analyzer segment``.

Rows are numbered as people see them: the line of a CSV file (the header is 1), the row of a
Parquet file from 1.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from analyzer_service.domain import UserWeek
from analyzer_service.errors import InvalidInputError, NotFoundError

NUMBERS: Final = ("actions", "distinct_actions", "completion_seconds", "minutes_per_session")
COLUMNS: Final = ("user", "week", *NUMBERS)
MAY_BE_EMPTY: Final = frozenset({"completion_seconds", "minutes_per_session"})
"""Nothing completed, no session: then there is no time. Empty counts are an omission."""
PARQUET_MAGIC: Final = b"PAR1"
ISO_WEEK: Final = re.compile(r"(\d{4})-?W(\d{2})")
UNKNOWN: Final = frozenset({"", "nan", "na", "null", "none"})
BOOLEANS: Final = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}

Row = tuple[int, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class WeekTable:
    """The rows of a file, and how its weeks were written."""

    observed: tuple[UserWeek, ...]
    week_names: Mapping[int, int | str]
    affected: Mapping[str, bool]
    """By user, from the outcome column; empty without one."""


def read_weeks(path: Path, *, more: Sequence[str] = (), outcome: str = "") -> WeekTable:
    """Read a table.

    Args:
        path: of a CSV or Parquet file with the columns of ``COLUMNS``; others are ignored.
        more: further columns of numbers to read.
        outcome: column that says who was affected, 0 or 1; a user's rows count as one.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it cannot be used; the message names column and row, the hint the cure.
    """
    columns, rows = _open(path)
    _require(columns, (*COLUMNS, *more, *([outcome] if outcome else [])), path)
    observed: list[UserWeek] = []
    names: dict[int, int | str] = {}
    affected: dict[str, bool] = {}
    for number, row in rows:
        week, name = _week(row["week"], number)
        user = _text(row["user"])
        if not user:
            raise _wrong("user", number, "is empty", "Name the user, by a pseudonym.")
        names[week] = name
        counts = {column: _number(row[column], column, number) for column in NUMBERS}
        extra = {column: _number(row[column], column, number, free=True) for column in more}
        observed.append(UserWeek(user=user, week=week, more=extra, **counts))
        if outcome:
            affected[user] = affected.get(user, False) or _flag(row[outcome], outcome, number)
    if not observed:
        raise InvalidInputError(
            f"{path} has no rows.", hint="Give one row per user and week.", field="file"
        )
    return WeekTable(tuple(observed), names, affected)


def _open(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    try:
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no file {path}.", hint="Give a CSV or Parquet file.", field="file"
        ) from None
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give a CSV or Parquet file.",
            field="file",
        ) from None
    return _parquet(path) if magic == PARQUET_MAGIC else _csv(path)


def _csv(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{path} is not text in UTF-8: byte {error.start} is wrong.",
            hint="Save it as CSV in UTF-8, or give a Parquet file.",
            field="file",
        ) from None
    reader = csv.reader(text.splitlines(keepends=True))
    header = [cell.strip() for cell in next(reader, [])]

    def rows() -> Iterator[Row]:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InvalidInputError(
                    f"Row {reader.line_num} has {len(cells)} cells, the header {len(header)}.",
                    hint="Quote cells that hold commas, and give every row every column.",
                    field="file",
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))

    return header, rows()


def _parquet(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InvalidInputError(
            f"{path} is a damaged Parquet file: {error}.",
            hint="Write the file anew.",
            field="file",
        ) from None
    return table.column_names, iter(enumerate(table.to_pylist(), start=1))


def _require(columns: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise InvalidInputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}.",
            hint=f"Its first row has to name {', '.join(wanted)}, in any order.",
            field=missing[0],
        )


def _week(value: object, row: int) -> tuple[int, int | str]:
    """Return a number that grows by one a week, and the week as it was written."""
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.toordinal() // 7, value.isoformat()
    text = _text(value)
    for read in (_whole, _iso_week, _iso_day):
        found = read(text)
        if found is not None:
            return found
    raise _wrong(
        "week",
        row,
        f"is {text!r}",
        "Write a whole number, an ISO week such as 2026-W05, or a day of it such as 2026-01-26.",
    )


def _whole(text: str) -> tuple[int, int | str] | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return (int(value), int(value)) if value.is_integer() else None


def _iso_week(text: str) -> tuple[int, int | str] | None:
    match = ISO_WEEK.fullmatch(text)
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
    except ValueError:
        return None
    return (monday.toordinal() // 7, text) if monday else None


def _iso_day(text: str) -> tuple[int, int | str] | None:
    try:
        day = datetime.fromisoformat(text).date()
    except ValueError:
        return None
    return day.toordinal() // 7, text


def _number(value: object, column: str, row: int, *, free: bool = False) -> float:
    """Return a cell as a number, NaN where it is empty and may be."""
    text = _text(value)
    if text.lower() in UNKNOWN:
        if free or column in MAY_BE_EMPTY:
            return math.nan
        raise _wrong(column, row, "is empty", "Write 0 for a week without actions.")
    try:
        number = float(text)
    except ValueError:
        raise _wrong(column, row, f"is {text!r}", "Write a plain number such as 12.5.") from None
    if not math.isfinite(number):
        raise _wrong(column, row, f"is {text}", "Write a finite number, or leave it empty.")
    if number < 0 and not free:
        raise _wrong(column, row, f"is {text}", "Counts and times are 0 or more.")
    return number


def _flag(value: object, column: str, row: int) -> bool:
    text = _text(value).lower()
    if text not in BOOLEANS:
        raise _wrong(column, row, f"is {text!r}", "Write 1 for who was affected, else 0.")
    return BOOLEANS[text]


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _wrong(column: str, row: int, what: str, cure: str) -> InvalidInputError:
    return InvalidInputError(f"Column {column} in row {row} {what}.", hint=cure, field=column)
