"""What the rule sets say of counts: limits, evidence, order, monotony."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer_service.analysis.calibrated import Q
from analyzer_service.analysis.rules import RuleSet, load_rule_set
from analyzer_service.analysis.verdicts import judge
from analyzer_service.domain import (
    RATED_SEGMENTS,
    ChallengeKind,
    Grade,
    Period,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    SignalKind,
    Verdict,
)

ET = ChallengeKind.EDUCATION_TRAINING
SOP = ChallengeKind.SIMPLICITY_OF_PLATFORM
MIXED = ChallengeKind.MIXED
ERROR = SignalId(SignalKind.ERROR, "model_training", "scheduler", "JobKilled")
REPEAT = SignalId(SignalKind.REDUNDANCY, "data_collection", "connectors", "write_connector")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
Pair = tuple[int, int]

PAPER = load_rule_set("paper")
CALIBRATED = load_rule_set("calibrated")


def segments(*pairs: Pair) -> dict[Segment, SegmentCount]:
    """Counts (k, n) of experts, intermediates, beginners."""
    return {s: SegmentCount(*pair) for s, pair in zip(RATED_SEGMENTS, pairs, strict=True)}


def seen(
    *pairs: Pair,
    signal: SignalId = ERROR,
    period: Period | None = None,
    start: datetime = MONDAY,
    exposed: tuple[Pair, Pair, Pair] | None = None,
) -> SignalCounts:
    period = period or (Period.WINDOW if signal.kind is SignalKind.ERROR else Period.WEEK)
    return SignalCounts(signal, period, start, segments(*pairs), segments(*(exposed or pairs)))


def fired(counts: SignalCounts, rules: RuleSet = PAPER) -> list[tuple[str, ChallengeKind | None]]:
    return [(v.rule, v.kind) for v in judge([counts], rules)]


# -- The paper's rules, literally --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (((51, 100), (66, 100), (81, 100)), [("1", SOP)]),
        (((50, 100), (66, 100), (81, 100)), []),  # exactly 50% is not more than 50%
        (((51, 100), (65, 100), (81, 100)), []),
        (((51, 100), (66, 100), (80, 100)), []),
        (((9, 100), (66, 100), (81, 100)), [("2", ET)]),
        (((10, 100), (66, 100), (81, 100)), []),  # exactly 10% is not less than 10%
        (((0, 100), (65, 100), (81, 100)), []),
        (((30, 100), (99, 100), (99, 100)), []),  # the paper's gap
        (((43, 85), (77, 118), (153, 190)), [("1", SOP)]),  # 50.6%, 65.3%, 80.5%
        (((13, 20), (13, 20), (17, 20)), []),  # 13/20 is 65%, also in binary
        (((0, 0), (66, 100), (81, 100)), []),  # less than 10% of nobody is no evidence
        (((9, 100), (0, 0), (81, 100)), []),
        (((0, 0), (0, 0), (0, 0)), []),
        (((1, 1), (1, 1), (1, 1)), [("1", SOP)]),
    ],
)
def test_error_rules(pairs: tuple[Pair, Pair, Pair], expected: list[object]) -> None:
    assert fired(seen(*pairs)) == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (((51, 100), (0, 100), (0, 100)), [("3", SOP)]),
        (((50, 100), (0, 100), (0, 100)), []),
        (((51, 100), (0, 0), (0, 0)), [("3", SOP)]),
        (((9, 100), (51, 100), (76, 100)), [("4", ET)]),
        (((9, 100), (50, 100), (76, 100)), []),
        (((9, 100), (51, 100), (75, 100)), []),
        (((10, 100), (51, 100), (76, 100)), []),
    ],
)
def test_redundancy_rules(pairs: tuple[Pair, Pair, Pair], expected: list[object]) -> None:
    assert fired(seen(*pairs, signal=REPEAT)) == expected
    assert fired(seen(*pairs, signal=REPEAT, period=Period.MONTH)) == expected


def test_each_kind_of_signal_is_judged_in_its_own_periods() -> None:
    everybody = ((9, 9), (9, 9), (9, 9))
    assert fired(seen(*everybody, period=Period.WEEK)) == []
    assert fired(seen(*everybody, signal=REPEAT, period=Period.WINDOW)) == []


def test_the_paper_counts_all_rated_users() -> None:
    rare = seen((9, 100), (9, 100), (9, 100), exposed=((9, 9), (9, 9), (9, 9)))
    assert fired(rare) == []
    (verdict,) = judge([rare], CALIBRATED)
    assert (verdict.kind, verdict.denominator) == (SOP, "exposed")


def test_one_verdict_lists_all_periods_widest_first() -> None:
    week = timedelta(days=7)
    calm = seen((40, 100), (0, 100), (0, 100), signal=REPEAT, start=MONDAY)
    first = seen((55, 100), (3, 100), (1, 100), signal=REPEAT, start=MONDAY + week)
    widest = seen((60, 100), (9, 100), (9, 100), signal=REPEAT, start=MONDAY + 2 * week)
    month = seen((60, 100), (9, 100), (8, 100), signal=REPEAT, period=Period.MONTH)
    (verdict,) = judge([month, widest, calm, first], PAPER)
    assert verdict.fired == (widest, month, first)
    assert verdict.evidence == widest.rated
    assert (verdict.grade, verdict.probability) == (Grade.LITERAL, 1.0)
    assert verdict.thresholds == {"expert_more_than_percent": 50.0}
    assert verdict.missing == ""


def test_one_signal_may_show_two_kinds_in_two_weeks() -> None:
    sop = seen((60, 100), (60, 100), (80, 100), signal=REPEAT)
    et = seen((5, 100), (60, 100), (80, 100), signal=REPEAT, start=MONDAY + timedelta(days=7))
    assert [v.kind for v in judge([sop, et], PAPER)] == [ET, SOP]


def pairs_of_counts(most: int = 120) -> st.SearchStrategy[tuple[Pair, Pair, Pair]]:
    pair = st.integers(0, most).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
    return st.tuples(pair, pair, pair)


@given(pairs=pairs_of_counts(), segment=st.sampled_from([0, 1, 2]))
def test_one_more_affected_user_never_turns_sop_off(
    pairs: tuple[Pair, Pair, Pair], segment: int
) -> None:
    k, n = pairs[segment]
    more = tuple((min(k + 1, n), n) if i == segment else p for i, p in enumerate(pairs))
    for signal in (ERROR, REPEAT):
        if any(kind is SOP for _, kind in fired(seen(*pairs, signal=signal))):
            assert any(kind is SOP for _, kind in fired(seen(*more, signal=signal)))


@given(pairs=pairs_of_counts(), segment=st.sampled_from([1, 2]))
def test_one_more_affected_beginner_never_turns_et_off(
    pairs: tuple[Pair, Pair, Pair], segment: int
) -> None:
    k, n = pairs[segment]
    more = tuple((min(k + 1, n), n) if i == segment else p for i, p in enumerate(pairs))
    for signal in (ERROR, REPEAT):
        if any(kind is ET for _, kind in fired(seen(*pairs, signal=signal))):
            assert any(kind is ET for _, kind in fired(seen(*more, signal=signal)))


@given(pairs=pairs_of_counts(), factor=st.integers(2, 1000))
def test_only_proportions_matter_to_the_paper(pairs: tuple[Pair, Pair, Pair], factor: int) -> None:
    scaled = [(k * factor, n * factor) for k, n in pairs]
    for signal in (ERROR, REPEAT):
        assert fired(seen(*pairs, signal=signal)) == fired(seen(*scaled, signal=signal))


# -- Evidence weighed --------------------------------------------------------------------------


def only(counts: Iterable[SignalCounts]) -> Verdict:
    (verdict,) = judge(list(counts), CALIBRATED)
    return verdict


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        (((68, 85), (100, 118), (175, 190)), SOP),
        (((2, 85), (100, 118), (175, 190)), ET),
        (((25, 85), (100, 118), (175, 190)), MIXED),
    ],
)
def test_three_kinds_are_told_apart(pairs: tuple[Pair, Pair, Pair], kind: ChallengeKind) -> None:
    verdict = only([seen(*pairs)])
    assert (verdict.kind, verdict.grade) == (kind, Grade.CONFIRMED)
    assert verdict.rule == "calibrated-error"
    assert verdict.probability > 0.95
    assert verdict.thresholds[Q] == pytest.approx(1 - verdict.probability)


@pytest.mark.parametrize(
    "pairs",
    [
        ((5, 85), (10, 118), (30, 190)),
        ((60, 85), (60, 118), (175, 190)),  # intermediates one clause short
        ((60, 85), (100, 118), (130, 190)),  # beginners one clause short
    ],
)
def test_near_misses_are_none(pairs: tuple[Pair, Pair, Pair]) -> None:
    assert judge([seen(*pairs)], CALIBRATED) == ()


def test_experts_hit_more_than_beginners_are_none_and_said() -> None:
    verdict = only([seen((60, 60), (58, 60), (150, 170))])
    assert verdict.kind is None
    assert verdict.grade is Grade.INSUFFICIENT
    assert "Experts are affected more often (60 of 60)" in verdict.missing


def test_inverted_redundancy_is_none_though_the_paper_s_rule_3_fires() -> None:
    counts = seen((70, 100), (20, 100), (5, 100), signal=REPEAT)
    assert fired(counts) == [("3", SOP)]
    assert only([counts]).kind is None


def test_redundancy_has_three_kinds_too() -> None:
    for experts, kind in ((80, SOP), (30, MIXED), (1, ET)):
        verdict = only([seen((experts, 100), (85, 100), (95, 100), signal=REPEAT)])
        assert (verdict.kind, verdict.rule) == (kind, "calibrated-redundancy")


def test_eighteen_unaffected_experts_make_fewer_than_ten_percent_95_percent_sure() -> None:
    """A figure to plan by; the other clauses are made all but certain here."""
    sure = ((5000, 5000), (5000, 5000))
    assert only([seen((0, 18), *sure)]).probability > 0.95
    assert only([seen((0, 17), *sure)]).probability < 0.95


def test_few_users_say_what_is_missing() -> None:
    sure = ((500, 500), (500, 500))
    verdict = only([seen((0, 2), *sure)])
    assert verdict.grade is Grade.INSUFFICIENT
    assert "1 more exposed expert" in verdict.missing
    verdict = only([seen((2, 4), (40, 40), (40, 40))])
    assert verdict.kind in {SOP, MIXED}
    assert verdict.grade is Grade.INSUFFICIENT
    assert "expert" in verdict.missing


def test_following_the_advice_makes_the_kind_possible() -> None:
    verdict = only([seen((3, 3), (5, 7), (13, 15))])
    assert "more exposed intermediate users at the same share (5 of 7)" in verdict.missing
    more = 1 + -(-int(verdict.missing.split()[0]) // 7)
    assert only([seen((3, 3), (5 * more, 7 * more), (13, 15))]).grade is not Grade.INSUFFICIENT


def test_nobody_exposed_is_no_verdict_of_a_grade() -> None:
    assert all(
        v.grade is Grade.INSUFFICIENT for v in judge([seen((0, 0), (0, 0), (0, 0))], CALIBRATED)
    )


def test_the_surest_period_speaks_and_the_possible_ones_are_listed() -> None:
    week = timedelta(days=7)
    sure = seen((80, 100), (80, 100), (90, 100), signal=REPEAT, start=MONDAY + week)
    likely = seen((55, 100), (80, 100), (90, 100), signal=REPEAT, start=MONDAY)
    calm = seen((5, 100), (8, 100), (9, 100), signal=REPEAT, start=MONDAY + 2 * week)
    verdict = only([calm, likely, sure])
    assert verdict.fired == (sure, likely)
    assert verdict.evidence == sure.exposed


def named(name: str, *pairs: Pair) -> SignalCounts:
    return seen(*pairs, signal=SignalId(SignalKind.ERROR, "s", "c", name))


CLAIMS = {Grade.PROBABLE, Grade.CONFIRMED}


def test_doubtful_verdicts_are_no_claims_until_few_can_be_false() -> None:
    sure = [named(f"sure{i}", (80, 85), (110, 118), (185, 190)) for i in range(3)]
    doubtful = [named(f"doubt{i}", (13, 20), (25, 30), (46, 50)) for i in range(3)]
    verdicts = judge([*doubtful, *sure], CALIBRATED)
    claimed = [v for v in verdicts if v.grade in CLAIMS]
    held = [v for v in verdicts if v.grade is Grade.POSSIBLE and v.probability > 0.8]
    assert {v.signal.signal for v in claimed} >= {"sure0", "sure1", "sure2"}
    assert sum(1 - v.probability for v in claimed) / len(claimed) <= 0.05
    assert held
    assert all(v.thresholds[Q] > 0.05 and "expected to be false" in v.missing for v in held)
    assert all(v.thresholds[Q] <= 0.05 for v in claimed)


def test_many_sure_verdicts_buy_room_for_a_doubtful_one() -> None:
    doubtful = named("doubt", (14, 20), (25, 30), (46, 50))
    alone = only([doubtful])
    sure = [named(f"sure{i}", (80, 85), (110, 118), (185, 190)) for i in range(30)]
    among = {v.signal.signal: v for v in judge([doubtful, *sure], CALIBRATED)}["doubt"]
    assert (alone.grade, among.grade) == (Grade.POSSIBLE, Grade.PROBABLE)


# -- Both --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [PAPER, CALIBRATED], ids=lambda r: r.name)
@given(pairs=pairs_of_counts(most=12), signal=st.sampled_from([ERROR, REPEAT]))
@settings(max_examples=150, deadline=None)
def test_no_counts_are_too_odd_to_judge(
    rules: RuleSet, pairs: tuple[Pair, Pair, Pair], signal: SignalId
) -> None:
    for verdict in judge([seen(*pairs, signal=signal)], rules):
        assert 0 <= verdict.probability <= 1
        assert verdict.fired
        assert bool(verdict.missing) or verdict.grade is not Grade.INSUFFICIENT


@pytest.mark.parametrize("rules", [PAPER, CALIBRATED], ids=lambda r: r.name)
def test_absent_segments_count_as_nobody(rules: RuleSet) -> None:
    empty = SignalCounts(ERROR, Period.WINDOW, MONDAY, {}, {})
    assert all(v.grade is Grade.INSUFFICIENT for v in judge([empty], rules))
    assert judge([], rules) == ()


@pytest.mark.parametrize("rules", [PAPER, CALIBRATED], ids=lambda r: r.name)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_order_of_counts_does_not_matter(rules: RuleSet, seed: int) -> None:
    draw = random.Random(7)
    counts = [
        seen(
            (draw.randint(0, 20), 20),
            (draw.randint(15, 30), 30),
            (draw.randint(38, 50), 50),
            signal=SignalId(kind, "stage", "component", f"signal{number % 12}"),
            start=MONDAY + timedelta(days=7 * (number // 12)),
        )
        for kind in SignalKind
        for number in range(36 if kind is SignalKind.REDUNDANCY else 12)
    ]
    shuffled = random.Random(seed).sample(counts, len(counts))
    expected = judge(counts, rules)
    assert expected
    assert judge(shuffled, rules) == expected
