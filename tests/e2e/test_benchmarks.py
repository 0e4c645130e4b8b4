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


def test_the_committed_result_says_when_and_what() -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / "first.json").read_text())
    assert {"date", "commit", "machine", "ingest", "analysis", "scenarios"} <= committed.keys()
    assert [(e["signals"], e["users"]) for e in committed["analysis"]] == [
        (10_000_000, 1_000),
        (10_000_000, 100_000),
    ]
    easy = next(e for e in committed["scenarios"] if e["scenario"] == "paper-2020")
    assert (easy["challenges_found"], easy["challenges_else"]) == (23, 0)
