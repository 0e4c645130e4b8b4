"""The benchmarks still run: a small slice of each, and the committed result says when and where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def test_a_slice_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--slice"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found["ingest"]["rows"] >= 20_000
    assert found["ingest"]["receiver_to_bulk"] > 0
    assert [entry["signals"] for entry in found["analysis"]] == [200_000]
    assert all(entry["settle_to_scan"] > 0 for entry in found["analysis"])
    [stored] = found["storage"]
    assert stored["signals"] == sum(
        stored["tables"][table]["rows"] for table in ("otel_traces", "otel_logs")
    )
    assert 0 < stored["signal_bytes"] < 1_000


def test_the_committed_result_says_when_and_what() -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / "first.json").read_text())
    assert {"date", "commit", "machine", "ingest", "analysis", "scenarios"} <= committed.keys()
    assert [(e["signals"], e["users"]) for e in committed["analysis"]] == [
        (10_000_000, 1_000),
        (10_000_000, 100_000),
    ]
    easy = next(e for e in committed["scenarios"] if e["scenario"] == "paper-2020")
    assert (easy["challenges_found"], easy["challenges_else"]) == (23, 0)


def test_a_slice_of_the_collectors_way_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.collector", "--slice"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found["in"]["records"] >= 5_000
    for way in found["in"]["best"].values():
        assert way["records_per_second"] > 0
        assert all(seconds > 0 for seconds in way["cpu_seconds_per_million"].values())
    assert set(found["in"]["best"]["collector, exporter, endpoint"]["disk"]) == {
        "otel_logs",
        "otel_traces",
        "signals",
    }
    assert [(one["query"], one["format"]) for one in found["out"]] == [
        ("SELECT 1", "Native"),
        ("an aggregate", "Native"),
        ("every row out", "Native"),
        ("every row out", "ArrowStream"),
        ("every row out", "Parquet"),
    ]


def test_the_committed_result_of_the_collectors_way() -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / "collector.json").read_text())
    assert {"date", "commit", "machine", "in", "out"} <= committed.keys()
    assert committed["in"]["records"] >= 200_000
    assert {one["rows"] for one in committed["out"]} == {1_000_000}
