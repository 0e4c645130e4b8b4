"""Both public logs through the real receiver into the real engine, against pandas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from store_fixture import fresh_store

from analyzer_service.clock import SystemClock
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.replay import ReplaySummary, load_mapping, replay
from analyzer_service.store.connect import Store
from analyzer_service.store.settling import settle
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv
from otel_instrumentation.privacy import pseudonym
from tests.integration.replay_logs import job_log

SALT = "salt of the test"
OUTCOMES = {"Pass": "ok", "Failed": "error", "Killed": "cancelled"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


@contextmanager
def receiver(store: Store) -> Iterator[str]:
    settings = IngestSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt=SALT)
    running = Receiver(RawWriter(store), settings=settings)
    running.start()
    try:
        yield f"127.0.0.1:{running.grpc_port}"
    finally:
        running.stop()


def replayed(store: Store, name: str) -> ReplaySummary:
    with receiver(store) as endpoint, OtlpSender(endpoint) as sender:
        return replay(job_log(name), load_mapping(name), sender)


def expected(name: str) -> pd.DataFrame:
    """The signals a log holds, computed from the file alone."""
    frame = pd.read_csv(job_log(name), dtype={"user": str})
    submit = frame["submit_epoch" if name == "philly" else "submit_time"].astype("int64")
    cut_off = (frame.wall_time > 0) & (frame.run_time >= frame.wall_time)
    outcome = frame.new_status.map(OUTCOMES).mask(cut_off, "error")
    if name == "philly":
        error_type = pd.Series("JobFailed", index=frame.index)
    else:
        names = {134: "Aborted", 139: "SegmentationFault", 143: "Terminated"}
        error_type = frame.state.map(names).fillna("NonZeroExit")
    error_type = error_type.mask(cut_off, "TimeLimitExceeded").where(outcome == "error", "")
    return pd.DataFrame(
        {
            "user": frame.user.map(lambda user: pseudonym(user, SALT)),
            "start_ns": (submit + frame.wait_time) * 10**9,
            "duration_ns": frame.run_time.astype("int64") * 10**9,
            "wait_ns": frame.wait_time.astype("int64") * 10**9,
            "outcome": outcome,
            "error_type": error_type,
        }
    )


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(list(frame.columns), ignore_index=True)


SIGNALS = """
SELECT lower(hex(user_key)), toUnixTimestamp64Nano(event_time), duration_ns, wait_ns,
    toString(outcome), toString(error_type)
FROM signals FINAL
WHERE stage = 'model_training' AND action = 'submit_job' AND action_kind = 'key'
"""


@pytest.mark.slow  # the settling of 128 days
@pytest.mark.parametrize(("name", "rows"), [("philly", 15_000), ("mira", 22_508)])
def test_every_row_is_a_raw_row_and_a_signal_once(store: Store, name: str, rows: int) -> None:
    for _ in range(2):  # the second time changes nothing
        summary = replayed(store, name)
        assert (summary.rows_accepted, summary.rows_rejected, summary.messages) == (rows, 0, ())
    assert store.query("SELECT count() FROM otel_traces FINAL") == [(rows,)]
    assert store.query("SELECT count() FROM rejected") == [(0,)]
    assert store.query(
        "SELECT count() FROM otel_traces WHERE mapContains(SpanAttributes, 'user.id')"
    ) == [(0,)]
    truth = expected(name)
    signals = pd.DataFrame(store.query(SIGNALS), columns=truth.columns)
    pd.testing.assert_frame_equal(in_order(signals), in_order(truth), check_dtype=False)

    settle(store, SystemClock(), stages=semconv.STAGES)
    attempts, failed = store.query(
        "SELECT sum(attempts), sum(failed_attempts) FROM attempts_daily"
    )[0]
    assert (attempts, failed) == (rows, (truth.outcome == "error").sum())
    failures = store.query(
        "SELECT toString(error_type), count(), uniqExact(user_key) FROM failures GROUP BY 1"
    )
    errors = truth[truth.outcome == "error"].groupby("error_type").user.agg(["size", "nunique"])
    assert {kind: (count, users) for kind, count, users in failures} == {
        str(kind): (row["size"], row["nunique"]) for kind, row in errors.iterrows()
    }
