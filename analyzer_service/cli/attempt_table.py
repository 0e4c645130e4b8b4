"""A plain table of attempts, CSV or Parquet, read for ``mlp-analyzer judge``.

Rows are numbered as people see them: the line of a CSV file (the header is 1), the row of a
Parquet file from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer_service.domain import (
    RATED_SEGMENTS,
    AttemptCount,
    Period,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    SignalKind,
)
from analyzer_service.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

NUMBERS: Final = ("attempts", "failures")
COLUMNS: Final = ("signal", "segment", "user", *NUMBERS)
KEYS: Final = ("signal", "segment", "attempts", "failures")
"""Users equal in these are told apart by nothing a rule set sees."""
PARQUET_MAGIC: Final = b"PAR1"
MOST_COUNTED: Final = 10**9
"""More attempts of one user are a slip of the pen."""
NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A plain table is of no particular window."""


@dataclass(frozen=True, slots=True)
class AttemptTable:
    """The signals of a file."""

    counts: tuple[SignalCounts, ...]
    sizes: Mapping[Segment, int]
    unrated_rows: int
    """Rows of unrated users, who stay out of every verdict."""


def read_attempts(path: Path, sizes: Mapping[Segment, int | None]) -> AttemptTable:
    """Read a table.

    Args:
        path: of a CSV or Parquet file with the columns of ``COLUMNS``; others are ignored. One row
            is one user's attempts and failures under one signal.
        sizes: users per segment, also those who never attempted; None: as many as the file names.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it cannot be used; the message names column and row, the hint the cure.
    """
    frame, first_row = _frame(path)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InvalidInputError(
            f"{path.name} has no column {missing[0]}.",
            hint=f"The columns are {', '.join(COLUMNS)}.",
            field=missing[0],
        )
    frame = frame.loc[:, list(COLUMNS)].reset_index(drop=True)
    if frame.empty:
        raise InvalidInputError(f"{path.name} has no rows.", hint="Give one row per signal, user.")
    _check_texts(frame, first_row)
    for name in NUMBERS:
        frame[name] = _whole_numbers(frame[name], name, first_row)
    _check_rows(frame, first_row)
    rated = frame[frame["segment"] != Segment.UNRATED.value]
    known = _sizes(rated, sizes)
    return AttemptTable(_counts(rated, known), known, len(frame) - len(rated))


def _frame(path: Path) -> tuple[pd.DataFrame, int]:
    """Return the table and the number of its first row."""
    import pandas as pd  # noqa: PLC0415

    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", hint="Check the path.")
    with path.open("rb") as file:
        parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    try:
        if parquet:
            return pd.read_parquet(path), 1
        return pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False), 2
    except (ValueError, OSError) as error:
        raise InvalidInputError(
            f"{path.name} cannot be read: {' '.join(str(error).split())}.",
            hint="Give a CSV file in UTF-8 with a header line, or Parquet.",
        ) from None


def _check_texts(frame: pd.DataFrame, first_row: int) -> None:
    for name in ("signal", "segment", "user"):
        empty = frame[name].isna() | (frame[name].astype(str).str.strip() == "")
        if empty.any():
            raise _wrong(name, first_row + _first(empty), "is empty", f"Fill in the {name}.")
        frame[name] = frame[name].astype(str).str.strip()
    frame["segment"] = frame["segment"].str.lower()
    unknown = ~frame["segment"].isin([segment.value for segment in Segment])
    if unknown.any():
        place = _first(unknown)
        raise _wrong(
            "segment",
            first_row + place,
            f"is {frame['segment'][place]!r}, which is no segment",
            f"Segments are {', '.join(Segment)}.",
        )


def _whole_numbers(values: pd.Series[str], name: str, first_row: int) -> pd.Series[int]:
    import pandas as pd  # noqa: PLC0415

    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() | (numbers < 0) | (numbers > MOST_COUNTED) | (numbers % 1 != 0)
    if wrong.any():
        place = _first(wrong)
        raise _wrong(
            name,
            first_row + place,
            f"is {values[place]!r}, which is no whole number of 0 or more",
            "Count attempts and failures.",
        )
    return numbers.astype("int64")


def _check_rows(frame: pd.DataFrame, first_row: int) -> None:
    more = frame["failures"] > frame["attempts"]
    if more.any():
        place = _first(more)
        raise _wrong(
            "failures",
            first_row + place,
            f"is {frame['failures'][place]}, more than the {frame['attempts'][place]} attempts",
            "A failure is an attempt that failed.",
        )
    again = frame.duplicated(["signal", "user"])
    if again.any():
        place = _first(again)
        raise _wrong(
            "user",
            first_row + place,
            f"{frame['user'][place]!r} comes again under signal {frame['signal'][place]!r}",
            "Add up a user's attempts and failures to one row per signal.",
        )


def _first(wrong: pd.Series[bool]) -> int:
    """Return the place of the first row that is wrong."""
    return int(wrong.to_numpy().argmax())


def _sizes(rated: pd.DataFrame, sizes: Mapping[Segment, int | None]) -> dict[Segment, int]:
    named = rated.groupby("segment")["user"].nunique()
    known: dict[Segment, int] = {}
    for segment in RATED_SEGMENTS:
        users = int(named.get(segment.value, 0))
        size = sizes.get(segment)
        if size is not None and size < users:
            raise InvalidInputError(
                f"--{segment}s is {size}, but the file names {users} {segment} users.",
                hint="Give the size of the whole segment.",
                field=f"{segment}s",
            )
        known[segment] = users if size is None else size
    return known


def _counts(rated: pd.DataFrame, sizes: Mapping[Segment, int]) -> tuple[SignalCounts, ...]:
    grouped = rated[rated["attempts"] > 0].groupby(list(KEYS), as_index=False).size()
    cells: dict[str, dict[Segment, list[AttemptCount]]] = {
        signal: {} for signal in sorted(rated["signal"].unique())
    }
    columns = [grouped[name].tolist() for name in (*KEYS, "size")]
    for signal, segment, attempts, failures, users in zip(*columns, strict=True):
        cell = AttemptCount(attempts, failures, users)
        cells[signal].setdefault(Segment(segment), []).append(cell)
    return tuple(_signal(signal, found, sizes) for signal, found in cells.items())


def _signal(
    name: str, cells: Mapping[Segment, list[AttemptCount]], sizes: Mapping[Segment, int]
) -> SignalCounts:
    hit = {
        segment: sum(cell.users for cell in cells.get(segment, ()) if cell.failures)
        for segment in RATED_SEGMENTS
    }
    exposed = {
        segment: sum(cell.users for cell in cells.get(segment, ())) for segment in RATED_SEGMENTS
    }
    return SignalCounts(
        signal=SignalId(SignalKind.ERROR, "", "", name),
        period=Period.WINDOW,
        period_start=NO_TIME,
        rated={s: SegmentCount(hit[s], sizes[s]) for s in RATED_SEGMENTS},
        exposed={s: SegmentCount(hit[s], exposed[s]) for s in RATED_SEGMENTS},
        attempts={segment: tuple(found) for segment, found in cells.items()}
        or {Segment.EXPERT: ()},
    )


def _wrong(column: str, row: int, what: str, cure: str) -> InvalidInputError:
    return InvalidInputError(f"Row {row}: {column} {what}.", hint=cure, field=column)
