"""An independent judge reads a world's OTLP back and must find exactly the planted truth.

It shares no code with the simulator or the analyzer: generated protobuf classes, pandas, and the
rules as the paper states them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from analyzer_service.simulate import World, load_scenario

SEGMENTS = ("expert", "intermediate", "beginner")
SIZES = {"expert": 85, "intermediate": 118, "beginner": 190}
# (segment, direction, percent) clauses and kind of each rule, as the paper states them.
RULES = {
    1: (
        "simplicity_of_platform",
        [("expert", ">", 50), ("intermediate", ">", 65), ("beginner", ">", 80)],
    ),
    2: (
        "education_training",
        [("expert", "<", 10), ("intermediate", ">", 65), ("beginner", ">", 80)],
    ),
    3: ("simplicity_of_platform", [("expert", ">", 50)]),
    4: (
        "education_training",
        [("expert", "<", 10), ("intermediate", ">", 50), ("beginner", ">", 75)],
    ),
}
OTLP_LIMIT = 4 * 1024 * 1024
STARTS = {2020: None, 7: datetime(2025, 10, 16, tzinfo=UTC)}  # 7: a Thursday, two cut weeks


@dataclass
class Judged:
    """A world and what its telemetry says."""

    world: World
    truth: dict
    events: pd.DataFrame
    failures: pd.DataFrame
    sizes: dict[str, int]
    largest: int


def _values(attributes):
    return {a.key: a.value.string_value for a in attributes}


def _rows_of_traces(request):
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for span in resource.scope_spans[0].spans:
            a = _values(span.attributes)
            yield (
                "span", span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), service,
                span.name,
                span.start_time_unix_nano, span.end_time_unix_nano, span.status.code == 2,
                a.get("user.hash"), a.get("session.id"), a.get("mlp.stage"), a.get("mlp.component"),
                a.get("mlp.action"), a.get("mlp.action.kind"), a.get("mlp.action.digest"),
                a.get("error.type"), a.get("mlp.team"), None, a.get("mlp.resource.limit.hit"),
            )  # fmt: skip


def _rows_of_logs(request):
    for resource in request.resource_logs:
        service = _values(resource.resource.attributes)["service.name"]
        for log in resource.scope_logs[0].log_records:
            a = _values(log.attributes)
            yield (
                "log", log.trace_id.hex(), "", log.span_id.hex(), service, log.event_name,
                log.time_unix_nano, log.time_unix_nano, False,
                a.get("user.hash"), a.get("session.id"), a.get("mlp.stage"), a.get("mlp.component"),
                a.get("mlp.action"), a.get("mlp.action.kind"), None, a.get("error.type"),
                a.get("mlp.team"), a["log.record.uid"], None,
            )  # fmt: skip


COLUMNS = [
    *("source", "trace", "span", "parent", "service", "name", "start", "end", "error", "user"),
    *("session", "stage", "component", "action", "kind", "digest", "error_type", "team", "uid"),
    "limit",
]


def read(world: World) -> Judged:
    rows, sizes, largest = [], defaultdict(int), 0
    for kind, payload, records in world.batches():
        before = len(rows)
        if kind == "traces":
            rows.extend(_rows_of_traces(ExportTraceServiceRequest.FromString(payload)))
        else:
            rows.extend(_rows_of_logs(ExportLogsServiceRequest.FromString(payload)))
        assert len(rows) - before == records
        sizes[kind] += records
        largest = max(largest, len(payload))
    events = pd.DataFrame.from_records(rows, columns=COLUMNS)
    inherited = events[events.user.notna() & (events.trace != "")].groupby("trace").user.first()
    events["own_user"] = events.user
    events["user"] = events.user.fillna(events.trace.map(inherited))
    return Judged(world, world.truth(), events, _failures(events), dict(sizes), largest)


def _failures(events: pd.DataFrame) -> pd.DataFrame:
    """Erring spans below which nothing errs."""
    spans = events[events.source == "span"]
    trouble = spans[spans.trace.isin(set(spans.trace[spans.error]))]
    parent_of = dict(zip(trouble.span, trouble.parent, strict=True))
    erring = spans[spans.error]
    propagated = set()
    for span in erring.span:
        above = parent_of[span]
        while above:
            propagated.add(above)
            above = parent_of.get(above, "")
    return erring[~erring.span.isin(propagated)]


def rated_users(events: pd.DataFrame) -> set[str]:
    actions = events[events.kind.isin(["key", "click", "view"]) & events.user.notna()]
    days = (actions.start // 86_400_000_000_000).groupby(actions.user).nunique()
    counts = actions.groupby("user").size()
    return set(counts.index[(counts >= 5) & (days >= 2)])


def error_signals(judged: Judged) -> dict[tuple, set[str]]:
    seen = judged.failures[judged.failures.user.isin(judged.truth["users"])]
    return {
        ("error", *key): set(group.user)
        for key, group in seen.groupby(["stage", "component", "error_type"])
    }


def redundancies(judged: Judged) -> dict[tuple, list[set[str]]]:
    """Per action, the users of each ISO week and calendar month who repeat more than five times."""
    keys = judged.events[(judged.events.kind == "key") & judged.events.digest.notna()]
    keys = keys[keys.user.isin(judged.truth["users"])]
    when = pd.to_datetime(keys.start, unit="ns", utc=True)
    iso = when.dt.isocalendar()
    found = defaultdict(list)
    for period in (iso.year * 100 + iso.week, when.dt.year * 100 + when.dt.month + 10**8):
        where = ["stage", "component", "action"]
        times = keys.groupby([*where, period.rename("period"), "user", "digest"]).size()
        users = times[times > 5].reset_index()
        for key, group in users.groupby([*where, "period"]):
            found["redundancy", *key[:3]].append(set(group.user))
    return found


def shares(judged: Judged, users: set[str]) -> dict[str, float]:
    segment = judged.truth["users"]
    hit = pd.Series([segment[user] for user in users], dtype=object).value_counts()
    return {s: 100 * hit.get(s, 0) / SIZES[s] for s in SEGMENTS}


def missed(rule: int, share: dict[str, float]) -> list[float]:
    """Points by which each unfulfilled clause of a rule is missed."""
    gaps = [share[s] - p if way == ">" else p - share[s] for s, way, p in RULES[rule][1]]
    return [-gap for gap in gaps if gap <= 0]


def verdicts(judged: Judged) -> dict[tuple, set[str]]:
    """(kind, rule, stage, component, signal) of what the literal rules report, with the users."""
    reported = {}
    for key, users in error_signals(judged).items():
        for rule in (1, 2):
            if not missed(rule, shares(judged, users)):
                reported[RULES[rule][0], rule, *key[1:]] = users
    for key, periods in redundancies(judged).items():
        for rule in (3, 4):
            for users in periods:
                if not missed(rule, shares(judged, users)):
                    reported.setdefault((RULES[rule][0], rule, *key[1:]), users)
    return reported


def skill_features(judged: Judged) -> pd.DataFrame:
    events = judged.events[judged.events.user.isin(judged.truth["users"])]
    actions = events[events.kind.notna()]
    keys = actions[actions.kind == "key"]
    users = actions.groupby("user")
    day = actions.start // 86_400_000_000_000
    done = keys[~keys.error & (keys.end > keys.start)]
    log_time = np.log(done.end - done.start)
    peers = log_time.groupby([done.stage, done.component, done.action]).transform("mean")
    sessions = events[events.session.notna()].groupby(["user", "session"])
    minutes = (sessions.end.max() - sessions.start.min()) / 6e10
    what = keys.stage + keys.component + keys.action
    return pd.DataFrame({
        "breadth": np.log(what.groupby(keys.user).nunique()),
        "completion": (log_time - peers).groupby(done.user).mean(),
        "session": np.log(minutes.groupby("user").mean()),
        "share": keys.groupby("user").size() / users.size(),
        "days": day.groupby(actions.user).nunique(),
        "weeks": (day // 7).groupby(actions.user).nunique(),
        "volume": np.log(users.size()),
    })  # fmt: skip


def cluster(judged: Judged) -> tuple[float, list[int]]:
    """Return the adjusted Rand index against the truth, and the sizes, most capable first."""
    features = skill_features(judged)
    spread = features.std()
    scaled = (features - features.mean()) / spread.where(spread > 0, 1)
    with threadpool_limits(1):
        labels = KMeans(3, n_init=10, random_state=0).fit_predict(scaled)
    score = scaled.breadth - scaled.completion + scaled.session
    order = score.groupby(labels).mean().sort_values(ascending=False).index
    truth = [judged.truth["users"][user] for user in features.index]
    return adjusted_rand_score(truth, labels), [int((labels == c).sum()) for c in order]


@pytest.fixture(scope="module", params=STARTS, ids=lambda seed: f"seed-{seed}")
def judged(request) -> Judged:
    return read(World(load_scenario("paper-2020"), request.param, STARTS[request.param]))


pytestmark = pytest.mark.slow


def test_the_literal_rules_report_the_planted_challenges_and_nothing_else(judged):
    expected = {
        (c["kind"], c["rule"], c["stage"], c["component"], c["signal"]): set(c["affected"])
        for c in judged.truth["challenges"]
    }
    assert len(expected) == 23
    assert [kind for kind, *_ in expected].count("education_training") == 17
    assert {rule for _, rule, *_ in expected} == {1, 2, 3, 4}
    assert verdicts(judged) == expected


def test_exactly_the_rated_users_do_enough_to_be_rated(judged):
    assert rated_users(judged.events) == set(judged.truth["users"])
    assert pd.Series(judged.truth["users"]).value_counts().to_dict() == SIZES
    assert judged.events.user.nunique() == 393 + 998


def test_every_rated_user_gives_enough_to_judge_skill_by(judged):
    actions = judged.events[judged.events.user.isin(judged.truth["users"])]
    actions = actions[actions.kind.notna()]
    day = actions.start // 86_400_000_000_000
    monday = (day + 3) // 7
    assert actions.groupby("user").size().min() >= 15
    assert day.groupby(actions.user).nunique().min() >= 6
    assert monday.groupby(actions.user).nunique().min() >= 3


def test_clusters_of_action_and_time_signals_are_the_segments(judged):
    agreement, sizes = cluster(judged)
    assert agreement >= 0.95
    assert np.abs(np.array(sizes) - list(SIZES.values())).max() <= 5


def test_each_decoy_misses_one_clause_by_three_to_ten_points(judged):
    seen = error_signals(judged)
    weekly = redundancies(judged)
    decoys = judged.world.decoys()
    assert len(decoys) >= 12
    for decoy in decoys:
        where = (decoy["stage"], decoy["component"], decoy["signal"])
        periods = [seen[("error", *where)]] if decoy["rule"] < 3 else weekly["redundancy", *where]
        assert max(periods, key=len) == set(decoy["affected"])
        gaps = missed(decoy["rule"], shares(judged, set(decoy["affected"])))
        assert len(gaps) == 1
        assert 3 <= gaps[0] <= 10


def test_background_failures_are_many_kinds_and_none_is_common(judged):
    named = [*judged.truth["challenges"], *judged.world.decoys()]
    planted = {("error", c["stage"], c["component"], c["signal"]) for c in named}
    background = {k: u for k, u in error_signals(judged).items() if k not in planted}
    assert len(background) >= 60
    for users in background.values():
        share = shares(judged, users)
        assert share["intermediate"] < 50
        assert share["beginner"] < 50


def test_equal_digests_that_are_not_planted_stay_few(judged):
    keys = judged.events[judged.events.kind == "key"]
    assert keys.digest.notna().all()
    times = keys.groupby(["user", "stage", "component", "action", "digest"]).size()
    assert set(times.unique()) <= {1, 2, 3, *range(6, 13)}
    assert (times == 2).any()
    planted = sum(
        len(c["affected"])
        for c in [*judged.truth["challenges"], *judged.world.decoys()]
        if c["rule"] in (3, 4)
    )
    assert (times > 3).sum() == planted


def test_the_stream_is_a_believable_platforms(judged):
    events = judged.events
    assert len(events) >= 500_000
    assert judged.largest <= OTLP_LIMIT
    assert set(events.stage.dropna()) == {
        "data_collection", "feature_engineering", "model_training", "model_deployment",
    }  # fmt: skip
    spans = events[events.source == "span"]
    per_trace = spans.groupby("trace").size()
    assert (per_trace > 1).mean() >= 0.15
    assert spans.span.is_unique
    assert events.uid.dropna().is_unique
    failures = judged.failures
    assert (spans.error.sum() - len(failures)) > 1000  # propagated
    assert events.own_user.isna().sum() > 10_000
    assert events.user.isna().sum() > 100
    assert {"time", "idle", "memory"} <= set(events.limit.dropna())


def test_time_is_within_the_window_and_follows_the_rhythm(judged):
    start = pd.Timestamp(judged.truth["window"]["start"])
    end = pd.Timestamp(judged.truth["window"]["end"])
    when = pd.to_datetime(judged.events.start, unit="ns", utc=True)
    assert when.min() >= start
    assert pd.to_datetime(judged.events.end.max(), unit="ns", utc=True) < end
    assert (judged.events.end >= judged.events.start).all()
    assert when.dt.floor("D").nunique() == 28
    by_hour = when.dt.hour.value_counts()
    assert by_hour[10] > 10 * by_hour[3]
    by_day = when.dt.day_of_week.value_counts()
    assert by_day[1] > 3 * by_day[6]
    order = when.dt.floor("D")[judged.events.source == "log"]
    assert order.is_monotonic_increasing


def test_activity_is_heavy_tailed(judged):
    actions = judged.events[judged.events.kind.notna()]
    for segment in SEGMENTS:
        users = [u for u, s in judged.truth["users"].items() if s == segment]
        counts = actions[actions.user.isin(users)].groupby("user").size()
        assert counts.max() > 2 * counts.median()


@pytest.mark.parametrize(
    "column", ["service", "name", "stage", "component", "action", "kind", "error_type", "team"]
)
def test_no_value_belongs_to_one_segment_alone(judged, column):
    """What ten or more users carry, users of at least two segments carry."""
    segment = judged.events.user.map(judged.truth["users"])
    pairs = pd.DataFrame({"value": judged.events[column], "segment": segment,
                          "user": judged.events.user}).dropna()  # fmt: skip
    per_value = pairs.groupby("value").agg(
        segments=("segment", "nunique"), users=("user", "nunique")
    )
    common = per_value[per_value.users >= 10]
    assert len(common)
    assert (common.segments >= 2).all()


@pytest.mark.parametrize("what", ["user", "session", "team"])
def test_neither_ids_nor_their_order_reveal_a_segment(judged, what):
    """First digits, and ranks of first appearance, are spread alike over the segments."""
    users = judged.truth["users"]
    rows = judged.events[judged.events.user.isin(users)].dropna(subset=["user", what])
    first = rows.drop_duplicates(what)
    segment = first.user.map(users)
    digit = first[what].str[-1]
    table = pd.crosstab(segment, digit)
    expected = np.outer(table.sum(axis=1), table.sum()) / table.to_numpy().sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    assert (((table - expected) ** 2 / expected).to_numpy().sum()) < freedom + 6 * freedom**0.5 + 10
    assert list(users) == sorted(users)


def test_equal_arguments_give_equal_bytes_and_another_seed_another_world():
    scenario = load_scenario("paper-2020")

    def digest(world: World) -> str:
        joined = hashlib.sha256()
        for day in (0, 9, 27):
            for _, payload, _ in world.day(day):
                joined.update(payload)
        return joined.hexdigest()

    first, again, other = World(scenario, 5), World(scenario, 5), World(scenario, 6)
    next(again.day(12))  # days do not depend on which were made before
    assert digest(first) == digest(again)
    assert first.truth() == again.truth()
    assert digest(first) != digest(other)
    assert first.truth()["users"] != other.truth()["users"]
    counts = [[len(c["affected"]) for c in w.truth()["challenges"]] for w in (first, other)]
    assert counts[0] != counts[1]
