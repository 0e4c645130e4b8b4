"""Cells of a job log as numbers and instants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

from analyzer_service.replay.mapping import TimeColumn

NANOSECONDS: Final = {
    "h": 3_600 * 10**9,
    "min": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
"""Nanoseconds in each unit a mapping may name."""

EARLIEST_NS: Final = 946_684_800 * 10**9
"""2000-01-01T00:00Z: before it the store makes no signal, and the unit is probably wrong."""

LATEST_NS: Final = 9_214_646_400 * 10**9
"""2262-01-01T00:00Z: shortly after it the store's time columns end."""

MAX_SPAN_NS: Final = 3_650 * 86_400 * 10**9
"""Ten years: no job runs or waits longer, so that the unit or the cell is wrong."""

SHOWN_CHARACTERS: Final = 40
"""How much of a cell a complaint quotes."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class BrokenRowError(Exception):
    """A row cannot become an event.

    Attributes:
        field: The field of the mapping, or empty for the line itself.
        problem: What is wrong.
        cure: What to do.
    """

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.cure = cure


def shown(cell: str) -> str:
    """Return a cell as complaints quote it."""
    short = cell if len(cell) <= SHOWN_CHARACTERS else cell[: SHOWN_CHARACTERS - 1] + "…"
    return repr(short)


def number(cell: str, field: str) -> Decimal:
    """Read a finite number.

    Raises:
        BrokenRowError: It is none.
    """
    try:
        value = Decimal(cell)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise BrokenRowError(field, f"{shown(cell)} is no number", "Correct the cell.")
    return value


def nanoseconds(cell: str, unit: str, field: str) -> int:
    """Read a span of time.

    Raises:
        BrokenRowError: It is no number, negative, or longer than ten years.
    """
    # Whole numbers, by far the most, are spared the decimal arithmetic.
    value = int(cell) if cell.isdecimal() and len(cell) < SHOWN_CHARACTERS else number(cell, field)
    if not 0 <= value <= MAX_SPAN_NS:
        raise _absurd(cell, field)
    exact = int(value * NANOSECONDS[unit])
    if exact > MAX_SPAN_NS:
        raise _absurd(cell, field)
    return exact


def _absurd(cell: str, field: str) -> BrokenRowError:
    return BrokenRowError(
        field,
        f"{shown(cell)} is negative or longer than ten years",
        f"Correct the cell, or {field}.unit in the mapping.",
    )


def time_reader(time: TimeColumn, *, instants: bool) -> Callable[[str], int]:
    """Return what reads the time column, in nanoseconds since 1970-01-01T00:00Z.

    Args:
        time: What the mapping says of the column.
        instants: The file itself says that these are instants; cells are nanoseconds then.
    """
    unit = "ns" if instants else time.unit
    if unit is not None:
        factor = NANOSECONDS[unit]
        return lambda cell: _epoch(cell, factor)
    zone = ZoneInfo(time.zone or "UTC")
    return lambda cell: _written(cell, time.format or "iso", zone)


def _epoch(cell: str, factor: int) -> int:
    value = number(cell, "time")
    # Checked before the multiplication: 1e999999 would be a number of a million digits.
    if not 0 <= value <= LATEST_NS:
        raise _outside(cell)
    return _plausible(int(value * factor), cell)


def _written(cell: str, format_: str, zone: ZoneInfo) -> int:
    try:
        moment = (
            datetime.fromisoformat(cell) if format_ == "iso" else datetime.strptime(cell, format_)  # noqa: DTZ007 - the zone follows
        )
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return _plausible((moment - _EPOCH) // _MICROSECOND * 1_000, cell)
    except (ValueError, OverflowError):
        raise BrokenRowError(
            "time",
            f"{shown(cell)} is no time in the format {format_}",
            "Correct the cell, or time.format in the mapping.",
        ) from None


def _plausible(instant_ns: int, cell: str) -> int:
    if not EARLIEST_NS <= instant_ns < LATEST_NS:
        raise _outside(cell)
    return instant_ns


def _outside(cell: str) -> BrokenRowError:
    return BrokenRowError(
        "time",
        f"{shown(cell)} is before the year 2000 or after 2261",
        "Correct the cell, or time.unit in the mapping (s or ms?).",
    )
