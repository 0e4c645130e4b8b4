"""`mlp-analyzer judge FILE`: a plain table in, verdicts out, and errors that name the place."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from analyzer_service.cli.application import run
from benchmarks.verdicts.worlds import SEGMENTS, SMALL, SOP, Setting, draw

COLUMNS = ("signal", "segment", "user", "attempts", "failures")
WORLD = draw(Setting(SMALL, partly=False), 60_000)
ROWS = [
    (f"s{signal:03d}", SEGMENTS[segment], f"u{user}", attempts, failures)
    for signal, segment, user, attempts, failures in zip(
        *(
            column.tolist()
            for column in (
                WORLD.signal,
                WORLD.segment,
                WORLD.user,
                WORLD.attempts,
                WORLD.failures,
            )
        ),
        strict=True,
    )
]
Rows = list[tuple[object, ...]]


def write(path: Path, rows: Rows, columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run(["judge", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    assert run(["judge", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_planted_problems_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, write(tmp_path / "world.csv", ROWS))
    assert found["segments"] == {"expert": 20, "intermediate": 30, "beginner": 50}
    verdicts = [one["verdict"] for one in found["signals"]]
    planted = [index for index, kind in enumerate(WORLD.truth) if kind == SOP]
    assert sum(verdicts[index] == "simplicity_of_platform" for index in planted) >= 12
    assert sum(verdict != "none" for verdict in verdicts) <= 60
    for one in found["signals"]:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        graded = one["grade"] in {"possible", "probable", "confirmed"}
        assert graded == (one["verdict"] != "none")
        expert = one["segments"]["expert"]
        assert expert["affected_low"] <= expert["affected_share"] <= expert["affected_high"]


def test_order_and_format_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = random.Random(3).sample(ROWS, len(ROWS))
    table = pa.table(dict(zip(COLUMNS, zip(*shuffled, strict=True), strict=True)))
    parquet.write_table(table, tmp_path / "world.parquet")
    first = told(capsys, write(tmp_path / "world.csv", ROWS))
    assert told(capsys, tmp_path / "world.parquet") == first


def test_a_lone_signal_is_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: Rows = [
        ("login", segment, f"{segment}{user}", 20, failures(user))
        for segment, users, failures in (
            ("expert", 80, lambda _: 0),
            ("intermediate", 100, lambda user: 0 if user < 10 else 10 + user % 5),
            ("beginner", 150, lambda user: 0 if user < 8 else 8 + user % 7),
        )
        for user in range(users)
    ]
    [one] = told(capsys, write(tmp_path / "one.csv", rows))["signals"]
    assert (one["verdict"], one["likeliest"]) == ("education_training", "education_training")
    assert one["segments"]["beginner"]["affected_share"] == pytest.approx(142 / 150, abs=0.03)


def test_who_tries_most_is_not_affected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody fails one attempt in twenty: rule 1 sees a problem, equal exposure does not."""
    rng = random.Random(11)
    rows: Rows = []
    for segment, users, attempts in (
        ("expert", 60, 200),
        ("intermediate", 60, 120),
        ("beginner", 60, 90),
    ):
        for user in range(users):
            failed = sum(rng.random() < 0.05 for _ in range(attempts))
            rows.append(("submit", segment, f"{segment}{user}", attempts, failed))
    path = write(tmp_path / "busy.csv", rows)
    [literal] = told(capsys, path, "--rules", "paper")["signals"]
    [one] = told(capsys, path)["signals"]
    assert (literal["verdict"], literal["grade"]) == ("simplicity_of_platform", "literal")
    assert one["verdict"] == "none"


def test_affected_users_can_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, write(tmp_path / "world.csv", ROWS), "--affected")
    cells = [c for one in found["signals"] for c in one["segments"]["beginner"]["affected"]]
    assert all(0 <= cell["probability"] <= 1 for cell in cells)
    clean = [c["probability"] for c in cells if c["attempts"] >= 8 and not c["failures"]]
    failing = [c["probability"] for c in cells if c["failures"] > 8]
    assert sum(clean) / len(clean) < 0.2
    assert min(failing) > 0.95


def test_sizes_are_the_literal_rules_denominator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Rows = [("a", segment, f"{segment}{n}", 3, 3) for segment in SEGMENTS for n in range(10)]
    path = write(tmp_path / "few.csv", rows)
    [seen] = told(capsys, path, "--rules", "paper")["signals"]
    [of_all] = told(capsys, path, "--rules", "paper", "--experts", 100)["signals"]
    assert (seen["verdict"], of_all["verdict"]) == ("simplicity_of_platform", "none")
    assert "--experts is 5" in refused(capsys, path, "--experts", 5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a", "expert", "u", "x", 0), "Row 3: attempts is 'x'"),
        (("a", "expert", "u", "2.5", 0), "Row 3: attempts is '2.5'"),
        (("a", "expert", "u", 2, -1), "Row 3: failures is '-1'"),
        (("a", "expert", "u", 2, 3), "Row 3: failures is 3, more than the 2 attempts"),
        (("a", "guru", "u", 2, 1), "Row 3: segment is 'guru'"),
        (("a", "expert", "", 2, 1), "Row 3: user is empty"),
        (("a", "expert", "first", 2, 1), "Row 3: user 'first' comes again under signal 'a'"),
    ],
)
def test_errors_name_column_and_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: tuple[object, ...], said: str
) -> None:
    path = write(tmp_path / "bad.csv", [("a", "expert", "first", 2, 1), row])
    assert said in refused(capsys, path)


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = write(tmp_path / "short.csv", [("a", "expert", "u", 1)], COLUMNS[:4])
    assert "has no column failures" in refused(capsys, short)
    assert "has no rows" in refused(capsys, write(tmp_path / "empty.csv", []))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    assert "cannot be read" in refused(capsys, tmp_path / "broken.parquet")
    assert run(["judge", str(tmp_path / "absent.csv")]) != 0


def test_unrated_users_and_idle_ones_have_no_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Rows = [
        ("a", "unrated", "x", 9, 9),
        ("a", "expert", "y", 0, 0),
        ("a", "expert", "z", 4, 0),
    ]
    [one] = told(capsys, write(tmp_path / "idle.csv", rows))["signals"]
    assert one["segments"]["expert"]["exposed"] == 1
    assert one["segments"]["expert"]["users"] == 2
    assert one["verdict"] == "none"
    [alone] = told(capsys, write(tmp_path / "none.csv", rows[1:2]))["signals"]
    assert alone["verdict"] == "none"
