"""Rule sets judged in planted worlds: signals whose kind is known, users who are affected or not.

A world has 200 signals: 160 background, 20 SoP, 10 ET, 10 MIXED. The rule sets are told who is
affected (``known``), only who saw at least one error (``saw``), where busy users are hit by plain
noise, or how often who attempted and failed (``tried``). The oracle is the same posterior with the truth's own shape: it answers the likeliest
kind wherever intermediates and beginners probably exceed their limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.special import betainc

from analyzer_service.analysis.rules import load_rule_set
from analyzer_service.analysis.verdicts import judge
from analyzer_service.domain import (
    RATED_SEGMENTS,
    AttemptCount,
    ChallengeKind,
    Grade,
    Period,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    SignalKind,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
SHARES = {
    ChallengeKind.SIMPLICITY_OF_PLATFORM: (0.55, 0.85),
    ChallengeKind.EDUCATION_TRAINING: (0.01, 0.07),
    ChallengeKind.MIXED: (0.18, 0.42),
}
PLANTED = (
    *[None] * 160,
    *[ChallengeKind.SIMPLICITY_OF_PLATFORM] * 20,
    *[ChallengeKind.EDUCATION_TRAINING] * 10,
    *[ChallengeKind.MIXED] * 10,
)
MEAN_ATTEMPTS = (12, 8, 5)
NOISE = 0.02
WORLDS = 10
LARGE, SMALL = (85, 118, 190), (20, 30, 50)
REPORTED = frozenset(Grade) - {Grade.INSUFFICIENT}
CLAIMS = frozenset({Grade.PROBABLE, Grade.CONFIRMED})
Kind = ChallengeKind | None
Answers = dict[str, tuple[Kind, Grade]]


@dataclass(frozen=True)
class World:
    truth: dict[str, Kind]
    known: list[SignalCounts]
    saw: list[SignalCounts]
    tried: list[SignalCounts]


@dataclass(frozen=True)
class Figures:
    recall: float
    precision: float
    reported: int
    confirmed_right: float


def draw(seed: int, sizes: tuple[int, int, int], *, partly_adopted: bool) -> World:
    rng = np.random.default_rng(seed)
    world = World({}, [], [], [])
    for number, kind in enumerate(PLANTED):
        shares = background(rng) if kind is None else planted(rng, kind)
        adoption = rng.uniform(0.25, 0.80) if partly_adopted else 1.0
        rate = rng.uniform(0.3, 0.8)
        known, saw, rated, cells = {}, {}, {}, {}
        drawn = zip(RATED_SEGMENTS, sizes, shares, MEAN_ATTEMPTS, strict=True)
        for segment, size, share, mean in drawn:
            n = max(1, int(rng.binomial(size, adoption)))
            affected = rng.random(n) < share
            attempts = 1 + rng.poisson(rng.gamma(0.8, mean / 0.8, n))
            fails = np.where(affected, rng.beta(6 * rate, 6 * (1 - rate), n), NOISE)
            failures = rng.binomial(attempts, fails)
            hit = int((failures > 0).sum())
            cells[segment] = tuple(
                AttemptCount(n, f, users)
                for (n, f), users in sorted(
                    Counter(zip(attempts.tolist(), failures.tolist(), strict=True)).items()
                )
            )
            known[segment] = SegmentCount(int(affected.sum()), n)
            saw[segment] = SegmentCount(hit, n)
            rated[segment] = SegmentCount(hit, size)
        signal = SignalId(SignalKind.ERROR, "model_training", "component", f"signal{number:03d}")
        world.truth[signal.signal] = kind
        world.known.append(SignalCounts(signal, Period.WINDOW, START, rated, known))
        world.saw.append(SignalCounts(signal, Period.WINDOW, START, rated, saw))
        world.tried.append(SignalCounts(signal, Period.WINDOW, START, rated, saw, cells))
    return world


def background(rng: np.random.Generator) -> tuple[float, float, float]:
    base = rng.beta(1.2, 6)
    factors = rng.uniform((0.6, 0.8, 0.9), (1.0, 1.1, 1.3))
    experts, intermediates, beginners = np.minimum(0.99, base * factors)
    return float(experts), float(intermediates), float(beginners)


def planted(rng: np.random.Generator, kind: ChallengeKind) -> tuple[float, float, float]:
    return rng.uniform(*SHARES[kind]), rng.uniform(0.70, 0.92), rng.uniform(0.84, 0.97)


def by_rules(
    name: str,
    counts: Callable[[World], list[SignalCounts]],
    reported: frozenset[Grade] = REPORTED,
) -> Callable[[World], Answers]:
    rules = load_rule_set(name)

    def answer(world: World) -> Answers:
        verdicts = judge(counts(world), rules)
        return {v.signal.signal: (v.kind, v.grade) for v in verdicts if v.grade in reported}

    return answer


def oracle(world: World) -> Answers:
    return {c.signal.signal: (oracle_kind(c), Grade.POSSIBLE) for c in world.known}


def oracle_kind(counts: SignalCounts) -> Kind:
    def below(segment: Segment, share: float) -> float:
        count = counts.exposed[segment]
        return float(betainc(count.k + 0.5, count.n - count.k + 0.5, share))

    experts = Segment.EXPERT
    base = (1 - below(Segment.INTERMEDIATE, 0.65)) * (1 - below(Segment.BEGINNER, 0.80))
    if base <= 0.5:
        return None
    shares = {
        ChallengeKind.SIMPLICITY_OF_PLATFORM: 1 - below(experts, 0.5),
        ChallengeKind.EDUCATION_TRAINING: below(experts, 0.1),
        ChallengeKind.MIXED: below(experts, 0.5) - below(experts, 0.1),
    }
    return max(shares, key=lambda kind: shares[kind])


def measure(worlds: list[World], answer: Callable[[World], Answers]) -> Figures:
    right = reported = confirmed = confirmed_right = 0
    for world in worlds:
        for name, (kind, grade) in answer(world).items():
            if kind is None or grade is Grade.INSUFFICIENT:
                continue
            reported += 1
            right += world.truth[name] is kind
            confirmed += grade is Grade.CONFIRMED
            confirmed_right += grade is Grade.CONFIRMED and world.truth[name] is kind
    return Figures(
        recall=right / (40 * len(worlds)),
        precision=right / max(reported, 1),
        reported=reported,
        confirmed_right=confirmed_right / max(confirmed, 1),
    )


@pytest.mark.parametrize(
    ("sizes", "partly", "share_of_oracle"),
    [(LARGE, False, 0.85), (LARGE, True, 0.55), (SMALL, False, 0.10)],
    ids=["large, all", "large, 25-80%", "small, all"],
)
def test_calibrated_among_known_users_is_careful_and_right(
    sizes: tuple[int, int, int], partly: bool, share_of_oracle: float
) -> None:
    """Holding false discoveries to 5% costs claims where users are few; it never costs truth."""
    worlds = [draw(7000 + i, sizes, partly_adopted=partly) for i in range(WORLDS)]
    calibrated = measure(worlds, by_rules("calibrated", lambda w: w.known, CLAIMS))
    best = measure(worlds, oracle)
    assert calibrated.recall >= share_of_oracle * best.recall
    assert calibrated.precision >= 0.95
    assert calibrated.confirmed_right >= 0.96


def test_literal_rules_find_nothing_where_only_some_use_a_feature() -> None:
    worlds = [draw(8000 + i, LARGE, partly_adopted=True) for i in range(3)]
    literal = measure(worlds, by_rules("paper", lambda w: w.saw))
    exposed = measure(worlds, by_rules("calibrated", lambda w: w.known))
    assert literal.recall < 0.05 < exposed.recall


def test_seeing_one_error_is_not_being_affected() -> None:
    """Who failed once among many attempts is told from who fails often, nearly as if one knew."""
    worlds = [draw(9000 + i, LARGE, partly_adopted=False) for i in range(3)]
    saw = measure(worlds, by_rules("calibrated", lambda w: w.saw))
    tried = measure(worlds, by_rules("calibrated", lambda w: w.tried))
    best = measure(worlds, oracle)
    assert saw.recall < best.recall / 2
    assert tried.recall >= 0.9 * best.recall
    assert tried.precision >= best.precision - 0.05


def test_where_only_some_use_a_feature_attempts_still_tell() -> None:
    worlds = [draw(9100 + i, SMALL, partly_adopted=True) for i in range(4)]
    tried = measure(worlds, by_rules("calibrated", lambda w: w.tried))
    literal = measure(worlds, by_rules("paper", lambda w: w.saw))
    best = measure(worlds, oracle)
    assert tried.recall >= 0.8 * best.recall
    assert tried.precision >= best.precision - 0.1
    assert literal.recall < 0.1
