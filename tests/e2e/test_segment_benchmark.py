"""The committed figures of segments hold what is promised of them, and say when and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "segments.json"
LEAST_OF_ORACLE = {1: 0.75, 4: 0.90, 6: 0.90}
LEAST_VISIBLE = {(1.0, 1): 0.85, (0.6, 1): 0.55, (1.0, 2): 0.90, (0.6, 2): 0.90}


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def test_it_says_when_and_what(figures: dict[str, Any]) -> None:
    assert {"date", "commit", "seeds", "first_seed"} <= figures.keys()
    assert figures["seeds"] >= 50


def test_partitions_and_flags(figures: dict[str, Any]) -> None:
    for row in figures["agreement"]:
        assert row["of_oracle"] >= LEAST_OF_ORACLE[row["weeks"]], row
        assert row["flag_covers_wrong"] >= 0.8, row


def test_segments_stand_still(figures: dict[str, Any]) -> None:
    assert all(row["churn_a_week"] <= 0.05 for row in figures["steadiness"])
    for row in figures["labels"]:
        assert (row["reseeds"], row["bootstraps"]) == (200, 200)
        assert (row["swapped_by_reseed"], row["swapped_by_bootstrap"]) == (0, 0), row


def test_promotions_show(figures: dict[str, Any]) -> None:
    for row in figures["promotions"]:
        wanted = LEAST_VISIBLE[row["separation"], row["levels"]]
        assert row["visible_within_three_weeks"] >= wanted, row
        assert row["others_risen"] <= 0.08, row
