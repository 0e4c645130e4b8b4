"""The receiver is killed under load: with a spool nothing is lost, without every loss is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import spool

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "none"])
def test_a_slice_of_the_outage(with_spool: bool) -> None:
    result = spool.run(spool.SLICE, spool=with_spool)
    assert result["emitted"] > 1000
    # What was stored although its answer got lost with the receiver counts as lost.
    unanswered = result["counted_lost"] - result["lost"]
    assert 0 <= unanswered <= spool.BATCHES_IN_FLIGHT * spool.BATCH
    if with_spool:
        assert (result["lost"], result["counted_lost"]) == (0, 0)
        assert result["left_in_spool_bytes"] == 0
    else:
        assert result["lost"] > 0, "the outage was not met under load"


def test_the_committed_result_is_of_the_whole() -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / "spool.json").read_text())
    assert {"date", "commit", "machine"} <= committed.keys()
    kept, dropped = committed["runs"]
    assert min(run["outage_seconds"] for run in (kept, dropped)) >= 60
    assert min(run["rate"] for run in (kept, dropped)) >= 0.95 * spool.WHOLE.rate
    assert (kept["lost"], kept["counted_lost"]) == (0, 0)
    assert 0 < dropped["lost"] <= dropped["counted_lost"]
