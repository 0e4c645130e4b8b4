"""Run every benchmark in processes of their own and write the results with date and commit.

`python -m benchmarks` takes about ten minutes; `--slice` about half a minute, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from typing import Any

from benchmarks.machine import RESULTS, commit, machine

ANALYSES = ((10_000_000, 1_000), (10_000_000, 100_000))
ROWS = 400_000
SCENARIOS = (("paper-2020", "paper"), ("paper-2020-hard", "paper"), ("paper-2020", "calibrated"))
SLICE_ANALYSES = ((200_000, 1_000),)
SLICE_ROWS = 20_000
SLICE_BATCHES = 6


def child(module: str, *options: str) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--slice", action="store_true", help="a small run that writes nothing")
    small = parser.parse_args().slice
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "ingest": child("ingest", "--rows", str(SLICE_ROWS if small else ROWS)),
        # Also in a file of its own, which docs/operations.md counts with.
        "storage": child(
            "storage", *(("--batches", str(SLICE_BATCHES)) if small else ("--write",))
        ),
        "analysis": [],
        "scenarios": [
            child("scenarios", "--scenario", scenario, "--rules", rules)
            for scenario, rules in (() if small else SCENARIOS)
        ],
    }
    for signals, users in SLICE_ANALYSES if small else ANALYSES:
        with tempfile.TemporaryDirectory() as folder:
            results["analysis"].append(
                child(
                    "analysis",
                    *("--signals", str(signals), "--users", str(users)),
                    *("--folder", f"{folder}/store"),
                )
            )
    text = json.dumps(results, indent=2)
    print(text)
    if not small:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "first.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
