"""Job logs and mappings for the tests of replay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analyzer_service.replay import Mapping
from analyzer_service.replay.mapping_file import parse_mapping

PLAIN = """\
name: plain
user: {column: who}
time: {column: at, marks: submit, unit: s}
wait: {column: waited}
duration: {column: ran}
stage: model_training
component: cluster
action: submit_job
digest: [gpus]
outcome: {column: end, values: {good: ok, bad: error, stopped: cancelled}}
error_type: {column: why, values: {oom: OutOfMemory}, otherwise: JobFailed}
resources: {gpu: {column: gpus}}
"""
HEADER = "who,at,waited,ran,end,why,gpus\n"
START = 1_700_000_000


def mapping(text: str = PLAIN) -> Mapping:
    return parse_mapping(text, origin="test.yaml")


def lines(count: int) -> str:
    return "".join(f"u{n % 7},{START + n},5,{n % 60},good,,1\n" for n in range(count))


def job_log(name: str) -> Path:
    """One of the two public logs; where they are absent the test is skipped, but not in CI."""
    checkout = Path(__file__).parents[2]
    folder = os.environ.get("MLP_ANALYZER_TEST_DATA") or checkout.parent / "shared" / "data"
    found = sorted((Path(folder) / name).glob("*.csv.gz"))
    if not found:
        message = f"no job log {name} in {folder}; set MLP_ANALYZER_TEST_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found[0]
