"""Philly and Mira whole: every k and n of every challenge, again in pandas, from the file alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from store_fixture import fresh_store

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import (
    RATED_SEGMENTS,
    AnalysisRequest,
    Challenge,
    Segment,
    SignalKind,
)
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.replay import load_mapping, replay
from analyzer_service.store.connect import Store
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import pseudonym, semconv

pytestmark = pytest.mark.slow

SALT = "a salt for the tests"
# The shipped limits leave little to count on these logs; these let every signal speak.
LENIENT = """
name: lenient
version: "1"
kind: literal
denominator: {denominator}
repeats_more_than: 5
rules:
  - rule: "1"
    signal: error
    periods: [window]
    kind: simplicity_of_platform
    clauses: {{expert: {{more_than: 0}}}}
  - rule: "2"
    signal: error
    periods: [window]
    kind: education_training
    clauses: {{beginner: {{more_than: 0}}}}
  - rule: "3"
    signal: redundancy
    periods: [week, month]
    kind: simplicity_of_platform
    clauses: {{intermediate: {{more_than: 0}}}}
"""


def data_folder() -> Path:
    said = os.environ.get("MLP_ANALYZER_TEST_DATA")
    return Path(said) if said else Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Log:
    """One public log, and what an independent reading of it says of each row."""

    name: str
    file: str
    read: Callable[[pd.DataFrame], pd.DataFrame]

    def rows(self) -> pd.DataFrame:
        table = self.read(pd.read_csv(data_folder() / self.file))
        table["user"] = [pseudonym(str(user), SALT) for user in table["user"]]
        table["day"] = table["start"].dt.floor("D")
        return table


def philly(log: pd.DataFrame) -> pd.DataFrame:
    start = pd.to_datetime(log["submit_epoch"] + log["wait_time"], unit="s", utc=True)
    return pd.DataFrame(
        {
            "user": log["user"],
            "start": start,
            "error": log["new_status"].map({"Failed": "JobFailed"}).fillna(""),
            "digest": log["gpu_num"].astype(str) + "/" + log["node_num"].astype(str),
        }
    )


def mira(log: pd.DataFrame) -> pd.DataFrame:
    start = pd.to_datetime(log["submit_time"] + log["wait_time"], unit="s", utc=True)
    ended = log["state"].map({134: "Aborted", 139: "SegmentationFault", 143: "Terminated"})
    failed = ended.fillna("NonZeroExit").where(log["new_status"] == "Failed", "")
    return pd.DataFrame(
        {
            "user": log["user"],
            "start": start,
            "error": failed.mask(log["run_time"] >= log["wall_time"], "TimeLimitExceeded"),
            "digest": log[["project", "node_num", "cpu_num"]].astype(str).agg("/".join, axis=1),
        }
    )


LOGS = (
    Log("philly", "philly/philly15k_with_time_DERIVED.csv.gz", philly),
    Log("mira", "mira/data_mira.csv.gz", mira),
)


@pytest.fixture(scope="module", params=LOGS, ids=lambda log: log.name)
def replayed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Log, Store, Analyzer]]:
    log: Log = request.param
    if not (data_folder() / log.file).exists():
        reason = f"the public log {log.file} is not beside this checkout"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    with fresh_store(tmp_path_factory.mktemp(log.name)) as store:
        settings = IngestSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt=SALT)
        receiver = Receiver(RawWriter(store), settings=settings)
        receiver.start()
        try:
            with OtlpSender(f"127.0.0.1:{receiver.grpc_port}") as sender:
                replay(data_folder() / log.file, load_mapping(log.name), sender)
        finally:
            receiver.stop()
        yield log, store, Analyzer(store, SystemClock(), stages=semconv.STAGES)


def test_every_row_is_a_row(replayed: tuple[Log, Store, Analyzer]) -> None:
    log, store, _ = replayed
    assert store.query("SELECT count() FROM otel_traces FINAL") == [(len(log.rows()),)]
    assert store.query("SELECT count() FROM signals FINAL") == [(len(log.rows()),)]


@pytest.mark.parametrize("weeks_back", [0, 8])
@pytest.mark.parametrize("rules", ["paper", "calibrated", "lenient rated", "lenient exposed"])
def test_every_count_of_every_challenge(
    replayed: tuple[Log, Store, Analyzer], rules: str, weeks_back: int
) -> None:
    log, _, analyzer = replayed
    rows = log.rows()
    end = rows["day"].max() + timedelta(days=1) - timedelta(weeks=weeks_back)
    name, _, denominator = rules.partition(" ")
    text = LENIENT.format(denominator=denominator) if denominator else ""
    analysis = analyzer.run(
        AnalysisRequest(rule_set=name, rule_set_yaml=text, window_end=end.to_pydatetime())
    )
    assert analysis.window is not None
    assert analysis.window.end == end.to_pydatetime()
    window = rows[(rows["start"] >= analysis.window.start) & (rows["start"] < end)]
    segments = all_segments(analyzer, analysis.analysis_id)
    assert set(segments) == set(window["user"])
    assert rated_users(window) == {u for u, s in segments.items() if s is not Segment.UNRATED}
    found = analyzer.list_challenges(analysis_id=analysis.analysis_id, page_size=1000)
    if text and weeks_back == 0:
        assert found.total >= 2
    for challenge in found.items:
        assert said(challenge) == counted(challenge, window, segments, analysis.window.start)


def all_segments(analyzer: Analyzer, analysis_id: str) -> dict[str, Segment]:
    found: dict[str, Segment] = {}
    token = ""
    while True:
        page = analyzer.list_users(analysis_id=analysis_id, page_size=1000, page_token=token)
        found |= {report.segment.user: report.segment.segment for report in page.items}
        token = page.next_token
        if not token:
            return found


def rated_users(window: pd.DataFrame) -> set[str]:
    seen = window.groupby("user")["day"].agg(["size", "nunique"])
    return set(seen[(seen["size"] >= 5) & (seen["nunique"] >= 2)].index)


def said(challenge: Challenge) -> dict[str, tuple[int, int]]:
    evidence = challenge.evidence
    return {
        segment.value: (evidence[segment.value]["k"], evidence[segment.value]["n"])  # type: ignore[index]
        for segment in RATED_SEGMENTS
    }


def counted(
    challenge: Challenge, window: pd.DataFrame, segments: dict[str, Segment], start: datetime
) -> dict[str, tuple[int, int]]:
    """Affected and counting users per segment, for the period whose counts are shown."""
    if challenge.signal.kind is SignalKind.ERROR:
        exposed = window
        affected = set(window[window["error"] == challenge.signal.signal]["user"])
    else:
        exposed = window[period_of(window, challenge, start)]
        times = exposed.groupby(["user", "digest"]).size()
        affected = set(times[times > 5].reset_index()["user"])
    counts = set(segments) if challenge.evidence["denominator"] == "rated" else set(exposed["user"])
    result = {}
    for segment in RATED_SEGMENTS:
        members = {user for user, where in segments.items() if where is segment}
        result[segment.value] = (len(members & affected), len(members & counts))
    return result


def period_of(window: pd.DataFrame, challenge: Challenge, start: datetime) -> pd.Series:
    periods = challenge.evidence["periods"]
    assert isinstance(periods, list)
    shown = periods[0]
    begin = pd.Timestamp(shown["start"])
    length = {"week": pd.DateOffset(weeks=1), "month": pd.DateOffset(months=1)}[shown["period"]]
    assert begin.tz_convert(UTC) + length > pd.Timestamp(start)
    inside: pd.Series = (window["start"] >= begin) & (window["start"] < begin + length)
    return inside
