"""Identity, order and evidence of challenges, and the posterior behind the intervals."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.analysis.challenges import challenge_id, evidence, rank
from analyzer_service.analysis.posterior import interval, mass_between, probability_above
from analyzer_service.analysis.rules import load_rule_set
from analyzer_service.analysis.verdicts import judge
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Challenge,
    ChallengeKind,
    Grade,
    Period,
    SegmentCount,
    SignalCounts,
    SignalId,
    SignalKind,
    Window,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=28))
SIGNAL = SignalId(SignalKind.ERROR, "feature_engineering", "notebooks", "IdleTimeout")
ET = ChallengeKind.EDUCATION_TRAINING


def counts(*ks: int, rated: int = 100, exposed: int = 80) -> SignalCounts:
    return SignalCounts(
        signal=SIGNAL,
        period=Period.WINDOW,
        period_start=START,
        rated={s: SegmentCount(k, rated) for s, k in zip(RATED_SEGMENTS, ks, strict=True)},
        exposed={s: SegmentCount(k, exposed) for s, k in zip(RATED_SEGMENTS, ks, strict=True)},
    )


def challenge(name: str, users: int, seconds: float, grade: Grade = Grade.LITERAL) -> Challenge:
    signal = SignalId(SignalKind.ERROR, "stage", "component", name)
    return Challenge(
        challenge_id=challenge_id(signal, ET),
        analysis_id="a",
        rank=0,
        kind=ET,
        signal=signal,
        rule="2",
        grade=grade,
        probability=1.0,
        users_affected=users,
        time_lost_seconds=seconds,
        evidence={},
        evidence_query="",
        example_trace_ids=(),
    )


# -- Identity ----------------------------------------------------------------------------------


def test_ids_never_change() -> None:
    """People link to them: this value is pinned on purpose."""
    assert challenge_id(SIGNAL, ET) == "et-idletimeout-3a2ed8ec9a69"


@given(
    signal=st.builds(
        SignalId,
        kind=st.sampled_from(SignalKind),
        stage=st.text(max_size=20),
        component=st.text(max_size=20),
        signal=st.text(max_size=60),
    ),
    kind=st.sampled_from(ChallengeKind),
)
def test_ids_are_safe_in_names_and_addresses(signal: SignalId, kind: ChallengeKind) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", challenge_id(signal, kind))
    assert len(challenge_id(signal, kind)) <= 63


def test_ids_tell_every_part_apart() -> None:
    signals = [
        SignalId(kind, stage, component, name)
        for kind in SignalKind
        for stage in ("a", "ab")
        for component in ("c", "bc")
        for name in ("X", "x", "")
    ]
    ids = {challenge_id(signal, kind) for signal in signals for kind in ChallengeKind}
    assert len(ids) == len(signals) * len(ChallengeKind)


# -- Order -------------------------------------------------------------------------------------


def test_rank_is_by_users_times_time_insufficient_last() -> None:
    given_ = [
        challenge("few users, long", 2, 5000.0),
        challenge("insufficient", 500, 9000.0, Grade.INSUFFICIENT),
        challenge("many users, short", 300, 100.0),
        challenge("nobody's time, more users", 9, 0.0),
        challenge("nobody's time, fewer users", 3, 0.0),
    ]
    ranked = rank(given_)
    assert [c.signal.signal for c in ranked] == [
        "many users, short",
        "few users, long",
        "nobody's time, more users",
        "nobody's time, fewer users",
        "insufficient",
    ]
    assert [c.rank for c in ranked] == [1, 2, 3, 4, 5]


@given(seed=st.integers(0, 2**32))
def test_ties_are_broken_the_same_way_always(seed: int) -> None:
    equal = [challenge(f"s{i}", 3, 10.0) for i in range(8)]
    shuffled = random.Random(seed).sample(equal, len(equal))
    assert rank(shuffled) == rank(equal)
    assert rank([]) == ()


# -- Evidence ----------------------------------------------------------------------------------


def test_literal_evidence_holds_what_the_verdict_stands_on() -> None:
    (verdict,) = judge([counts(5, 70, 85)], load_rule_set("paper"))
    shown = evidence(verdict, WINDOW)
    assert json.loads(json.dumps(shown, allow_nan=False)) == orjson.loads(orjson.dumps(shown))
    assert shown["expert"] == {
        "k": 5,
        "n": 100,
        "share": 0.05,
        "low": pytest.approx(0.0189, abs=5e-4),
        "high": pytest.approx(0.1060, abs=5e-4),
    }
    assert shown["denominator"] == "rated"
    assert shown["window"] == {
        "start": "2026-01-05T00:00:00+00:00",
        "end": "2026-02-02T00:00:00+00:00",
    }
    assert shown["thresholds"] == {
        "expert_less_than_percent": 10.0,
        "intermediate_more_than_percent": 65.0,
        "beginner_more_than_percent": 80.0,
    }
    assert shown["denominators"] == {
        name: {s: {"k": k, "n": n} for s, k in zip(RATED_SEGMENTS, (5, 70, 85), strict=True)}
        for name, n in (("rated", 100), ("exposed", 80))
    }
    assert shown["periods"] == [
        {
            "period": "window",
            "start": "2026-01-05T00:00:00+00:00",
            "segments": {
                "expert": {"k": 5, "n": 100},
                "intermediate": {"k": 70, "n": 100},
                "beginner": {"k": 85, "n": 100},
            },
        }
    ]
    assert "q" not in shown
    assert "missing" not in shown


def test_calibrated_evidence_adds_its_doubt() -> None:
    (verdict,) = judge([counts(1, 70, 78)], load_rule_set("calibrated"))
    shown = evidence(verdict, WINDOW)
    assert shown["q"] == pytest.approx(1 - verdict.probability)
    assert shown["false_discovery_rate"] == 0.05
    assert "q" not in shown["thresholds"]  # type: ignore[operator]


def test_insufficient_evidence_says_what_is_missing() -> None:
    (verdict,) = judge([counts(1, 3, 4, exposed=4)], load_rule_set("calibrated"))
    shown = evidence(verdict, WINDOW)
    assert shown["missing"] == verdict.missing != ""
    orjson.dumps(shown)


# -- The posterior -----------------------------------------------------------------------------


def test_intervals_reach_the_ends_and_span_all_of_nothing() -> None:
    assert interval(SegmentCount(0, 0)) == (0.0, 1.0)
    assert interval(SegmentCount(0, 10))[0] == 0.0
    assert interval(SegmentCount(10, 10))[1] == 1.0
    low, high = interval(SegmentCount(50, 100))
    assert low == pytest.approx(1 - high)


@given(n=st.integers(0, 500), data=st.data())
def test_intervals_hold_the_share_and_masses_add_up(n: int, data: st.DataObject) -> None:
    count = SegmentCount(data.draw(st.integers(0, n)), n)
    low, high = interval(count)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= count.share <= high
    parts = [mass_between(count.k, n, *edges) for edges in ((-1, 0.1), (0.1, 0.5), (0.5, 2))]
    assert sum(float(p) for p in parts) == pytest.approx(1)


def test_comparing_shares() -> None:
    few, many = SegmentCount(10, 100), SegmentCount(90, 100)
    assert probability_above(few, many) < 1e-6
    assert probability_above(many, few) > 1 - 1e-6
    assert probability_above(few, few) == pytest.approx(0.5, abs=1e-3)
    assert probability_above(SegmentCount(0, 0), SegmentCount(0, 0)) == pytest.approx(0.5, abs=1e-3)
