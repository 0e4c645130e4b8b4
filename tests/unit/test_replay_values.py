from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.replay.mapping import TimeColumn
from analyzer_service.replay.values import (
    EARLIEST_NS,
    LATEST_NS,
    MAX_SPAN_NS,
    BrokenRowError,
    nanoseconds,
    time_reader,
)

SECONDS = "%Y-%m-%d %H:%M:%S"
ISO_TOKYO = {"format": "iso", "zone": "Asia/Tokyo"}


def read(cell: str, **time: str) -> int:
    return time_reader(TimeColumn(column="t", marks="start", **time), instants=False)(cell)


@pytest.mark.parametrize(
    ("cell", "time", "expected"),
    [
        ("1535348017.0", {"unit": "s"}, 1_535_348_017 * 10**9),
        ("1535348017.123456789", {"unit": "s"}, 1_535_348_017_123_456_789),
        ("1535348017123", {"unit": "ms"}, 1_535_348_017_123 * 10**6),
        ("1.5353480170e9", {"unit": "s"}, 1_535_348_017 * 10**9),
        ("2018-08-27 05:33:37", {"format": SECONDS, "zone": "UTC"}, 1_535_348_017 * 10**9),
        (
            "2018-08-27 07:33:37",
            {"format": SECONDS, "zone": "Europe/Berlin"},
            1_535_348_017 * 10**9,
        ),
        ("2018-08-27T05:33:37.000001Z", ISO_TOKYO, 1_535_348_017_000_001_000),
        ("27/08/2018 07:33 +0200", {"format": "%d/%m/%Y %H:%M %z"}, 1_535_347_980 * 10**9),
    ],
)
def test_times_are_read_exactly(cell: str, time: dict[str, str], expected: int) -> None:
    assert read(cell, **time) == expected


@pytest.mark.parametrize("cell", ["", "x", "nan", "-5", "1e999999", "0", "1535348017000", "1,5"])
def test_times_that_cannot_be_are_refused(cell: str) -> None:
    with pytest.raises(BrokenRowError) as caught:
        read(cell, unit="s")
    assert caught.value.field == "time"
    assert caught.value.cure


@pytest.mark.parametrize("cell", ["", "2018-13-01", "0001-01-01", "9999-12-31", "12:00"])
def test_texts_that_are_no_time_are_refused(cell: str) -> None:
    with pytest.raises(BrokenRowError):
        read(cell, format="%Y-%m-%d", zone="Pacific/Kiritimati")


@pytest.mark.parametrize(
    ("cell", "unit", "expected"),
    [
        ("0", "s", 0),
        ("1.5", "s", 1_500_000_000),
        ("2", "h", 7_200 * 10**9),
        ("3e2", "ms", 3 * 10**8),
    ],
)
def test_spans_of_time(cell: str, unit: str, expected: int) -> None:
    assert nanoseconds(cell, unit, "duration") == expected


@pytest.mark.parametrize("cell", ["-1", "-0.1", "1e30", "9" * 500, "inf", "", "ten", "٣x"])
def test_absurd_spans_of_time_are_refused(cell: str) -> None:
    with pytest.raises(BrokenRowError) as caught:
        nanoseconds(cell, "s", "wait")
    assert caught.value.field == "wait"


@given(
    st.text(alphabet=string.digits + "-+.eE:TZ /", max_size=30) | st.text(max_size=20),
    st.sampled_from([{"unit": "s"}, {"unit": "ns"}, {"format": "iso", "zone": "America/New_York"}]),
)
def test_any_cell_is_read_or_refused(cell: str, time: dict[str, str]) -> None:
    for reading in (lambda: read(cell, **time), lambda: nanoseconds(cell, "min", "duration")):
        try:
            value = reading()
        except BrokenRowError:
            continue
        assert EARLIEST_NS <= value < LATEST_NS or 0 <= value <= MAX_SPAN_NS
