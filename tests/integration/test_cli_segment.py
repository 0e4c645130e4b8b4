"""`mlp-analyzer segment FILE`: a plain table in, segments out, and errors that name the place."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from analyzer_service.cli.application import run
from analyzer_service.domain import RATED_SEGMENTS, UserWeek
from benchmarks.segments.judged import observed
from benchmarks.segments.worlds import draw

COLUMNS = (
    "user",
    "week",
    "actions",
    "distinct_actions",
    "completion_seconds",
    "minutes_per_session",
)
ROWS = observed(draw(80_000, 1.0, 4, sizes=(30, 20, 12)))


def cells(row: UserWeek) -> dict[str, object]:
    return {name: getattr(row, name) for name in COLUMNS}


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "weeks.csv", [cells(row) for row in ROWS])


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["segment", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert run(["segment", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_every_user_and_week_gets_a_segment(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, str(table))
    rows = found["rows"]
    assert isinstance(rows, list)
    assert found["total"] == len(rows) == len(ROWS)
    assert {(r["user"], r["week"]) for r in rows} == {(r.user, r.week) for r in ROWS}
    assert {r["segment"] for r in rows} == {s.value for s in RATED_SEGMENTS}
    assert all(r.keys() == {"user", "week", "segment", "membership", "borderline"} for r in rows)
    assert [s["segment"] for s in found["segments"]] == [s.value for s in RATED_SEGMENTS]  # type: ignore[attr-defined]


def test_csv_and_parquet_say_the_same(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weeks.parquet"
    parquet.write_table(pa.Table.from_pylist([cells(row) for row in reversed(ROWS)]), path)
    assert told(capsys, str(path)) == told(capsys, str(table))


def test_people_read_a_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["segment", str(table)]) == 0
    printed = capsys.readouterr().out
    assert "borderline" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("weeks", [("2026-W01", "2026-W02"), ("2025-12-31", "2026-01-06")])
def test_weeks_keep_the_names_they_had(
    weeks: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [{**cells(row), "week": weeks[row.week]} for row in ROWS if row.week < 2]
    found = told(capsys, str(write_csv(tmp_path / "named.csv", named)))
    assert [row["week"] for row in found["rows"]][:2] == list(weeks)  # type: ignore[index]


def test_a_model_can_be_kept_and_used_again(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.json"
    first = told(capsys, str(table), "--model-out", str(model))
    again = told(capsys, str(table), "--model", str(model))
    assert again["model"] == first["model"]
    assert {entry["version"] for entry in again["models"]} == {first["model"]["version"]}  # type: ignore[index,attr-defined]
    model.write_text("{}")
    assert "not a segment model" in refused(capsys, str(table), "--model", str(model))
    assert "cannot be read" in refused(capsys, str(table), "--model", str(tmp_path / "none"))


def test_features_that_look_into_the_outcome_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {**cells(row), "errors": 1, "tickets": int(row.user) % 2 * 9, "hit": int(row.user) % 2}
        for row in ROWS
    ]
    path = str(write_csv(tmp_path / "more.csv", rows))
    assert "looks into the outcome" in refused(capsys, path, "--feature", "errors")
    given = refused(capsys, path, "--feature", "tickets", "--outcome", "hit")
    assert "gives the answer away" in given
    found = told(capsys, path, "--feature", "tickets")
    assert len(found["model"]["scales"]) == 5  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    "case",
    [
        ("actions", "many", "Column actions in row 3 is 'many'", "12.5"),
        ("actions", "", "Column actions in row 3 is empty", "Write 0"),
        ("actions", "-1", "Column actions in row 3 is -1", "0 or more"),
        ("completion_seconds", "inf", "Column completion_seconds in row 3 is inf", "finite"),
        ("week", "soon", "Column week in row 3 is 'soon'", "ISO week"),
        ("week", "2026-W60", "Column week in row 3 is '2026-W60'", "ISO week"),
        ("user", "", "Column user in row 3 is empty", "pseudonym"),
    ],
)
def test_a_bad_cell_is_named_with_its_cure(
    case: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    column, value, message, cure = case
    rows = [cells(row) for row in ROWS[:4]]
    rows[1][column] = value
    said = refused(capsys, str(write_csv(tmp_path / "bad.csv", rows)))
    assert message in said
    assert cure in said


def test_bad_files_are_named_with_their_cure(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "There is no file" in refused(capsys, str(tmp_path / "none.csv"), code=4)
    short = [{k: v for k, v in cells(row).items() if k != "actions"} for row in ROWS]
    assert "has no column actions" in refused(capsys, str(write_csv(tmp_path / "short.csv", short)))
    twice = write_csv(tmp_path / "twice.csv", [cells(ROWS[0])] * 2)
    assert "more than once" in refused(capsys, str(twice))
    (tmp_path / "empty.csv").write_text(",".join(COLUMNS) + "\n")
    assert "has no rows" in refused(capsys, str(tmp_path / "empty.csv"))
    (tmp_path / "latin.csv").write_bytes(b"user,week\nJ\xf6rg,1\n")
    assert "UTF-8" in refused(capsys, str(tmp_path / "latin.csv"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    assert "damaged Parquet" in refused(capsys, str(tmp_path / "cut.parquet"))
    (tmp_path / "wide.csv").write_text(",".join(COLUMNS) + "\na,1,2,3,4,5,6\n")
    assert "Row 2 has 7 cells" in refused(capsys, str(tmp_path / "wide.csv"))
