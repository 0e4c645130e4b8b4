"""Judge segments in worlds of known skill and write the figures with date and commit.

`python -m benchmarks.segments` takes some minutes; `--slice` about ten seconds, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

from benchmarks.__main__ import RESULTS, commit
from benchmarks.segments.judged import (
    SEPARATIONS,
    agreement,
    label_swaps,
    on_one_thread,
    promotions,
    reliability,
    steadiness,
)
from benchmarks.segments.variations import VARIATIONS, varied

FIRST_SEED = 1_000


def judge(seeds: int, tries: int, first_seed: int, jobs: int) -> dict[str, Any]:
    chosen = range(first_seed, first_seed + seeds)
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=on_one_thread
    ) as pool:
        agreements = [pool.submit(agreement, s, chosen, plain=True) for s in SEPARATIONS]
        parts = {
            "steadiness": [pool.submit(steadiness, s, chosen) for s in SEPARATIONS],
            "promotions": [
                pool.submit(promotions, s, chosen, levels) for s in SEPARATIONS for levels in (1, 2)
            ],
            "labels": [
                pool.submit(label_swaps, s, weeks, tries) for s in SEPARATIONS for weeks in (1, 4)
            ],
            "reliability": [pool.submit(reliability, s, chosen) for s in SEPARATIONS],
            "variations": [pool.submit(varied, name, chosen) for name in VARIATIONS],
        }
        return {
            "seeds": seeds,
            "first_seed": first_seed,
            "agreement": [row for future in agreements for row in future.result()],
            **{name: [future.result() for future in part] for name, part in parts.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segments")
    parser.add_argument("--slice", action="store_true", help="a small run that writes nothing")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds, tries = (3, 5) if given.slice else (given.seeds, 200)
    figures = judge(seeds, tries, given.first_seed, given.jobs)
    today = datetime.now(UTC).date().isoformat()
    text = json.dumps({"date": today, "commit": commit(), **figures}, indent=2)
    print(text)
    if not given.slice:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "segments.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
