"""Judge planted worlds and write the figures with date and commit.

`python -m benchmarks.verdicts` draws 100 worlds in each of the six base cells and in every
variation; `--worlds 4 --cells base` is a look, and `--slice` writes nothing.
"""

from __future__ import annotations

import os

# One thread a process: the worlds are shared out, and the figures are the same on any machine.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import json  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.__main__ import commit  # noqa: E402
from benchmarks.verdicts.measure import measure, summary  # noqa: E402
from benchmarks.verdicts.worlds import SIZES, VARIATIONS, Setting  # noqa: E402

RESULTS = Path(__file__).parents[1] / "results" / "verdicts.json"
WORLDS = 100
"""Differences of 0.01 in precision need so many to be seen."""
SLICE = 2
PROCESSES = 2
SEED = 40_000


def cells(variations: list[str]) -> list[Setting]:
    return [
        Setting(sizes, partly, variation)
        for variation in variations
        for sizes in SIZES
        for partly in (False, True)
    ]


def judged(setting: Setting, worlds: int, seed: int) -> dict[str, Any]:
    seeds = range(seed, seed + worlds)
    return summary(setting, seeds, measure(setting, seeds))


def run(variations: list[str], worlds: int, seed: int, processes: int) -> dict[str, Any]:
    """Return the figures of every cell of some variations."""
    settings = cells(variations)
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(judged, settings, [worlds] * len(settings), [seed] * len(settings))
        results = []
        for one in found:
            print(one["cell"], one["recall_of_oracle"], one["precision_over_oracle"], flush=True)
            results.append(one)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "seed": seed,
        "cells": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts")
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--cells", default=",".join(VARIATIONS), help="variations, by comma")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--slice", action="store_true", help="a small run that writes nothing")
    given = parser.parse_args()
    worlds = SLICE if given.slice else given.worlds
    variations = ["base"] if given.slice else given.cells.split(",")
    results = run(variations, worlds, given.seed, given.processes)
    if not given.slice:
        given.out.parent.mkdir(exist_ok=True)
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
