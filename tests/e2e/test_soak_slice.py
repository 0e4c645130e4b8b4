"""Every fault of the soak once: nothing is lost, and nothing that an analysis reads differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import soak, twin

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
POISONED = 6
"""Records of poison that leave a trace. There are seven; of two without ids, which the receiver
rejects, the exporter stores one: identity is all that tells records apart."""
FAULTS = {name for _, name in soak.WHOLE.faults}


@pytest.mark.parametrize("way", soak.WAYS)
def test_a_slice_of_the_soak(way: str) -> None:
    # It raises when anything differs from the undisturbed twin.
    (result,) = soak.run(soak.SLICE, (way,))["soaks"]
    assert {event["event"] for event in result["events"]} == FAULTS
    assert set(twin.SETTLED) <= set(result["equal"])
    assert result["poison"]["stored"] + result["poison"]["rejected"] >= POISONED


def test_the_committed_result_is_of_the_whole() -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / "soak.json").read_text())
    assert {"date", "commit", "machine"} <= committed.keys()
    assert {result["way"] for result in committed["soaks"]} == set(soak.WAYS)
    for result in committed["soaks"]:
        assert result["records"] >= 200_000
        assert result["lost"] == 0
        assert [event["event"] for event in result["events"]] == [n for _, n in soak.WHOLE.faults]
