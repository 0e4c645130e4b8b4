"""Before and after: planted effects are found, and nothing is found where nothing was done."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer_service.analysis.comparison import FALSE_EFFECT_RATE, Exposure, compare
from analyzer_service.lives import Effect

LOOKS = 6


def users(
    random: np.random.Generator, number: int, before: float, after: float, affected: float = 0.7
) -> Exposure:
    """Heavy-tailed attempts; affected users fail at a rate of their own that may change."""
    held = random.random(number) < affected
    own = random.beta(2, 2, number) * 2

    def half(rate: float) -> tuple[np.ndarray, np.ndarray]:
        attempts = 1 + random.negative_binomial(0.8, 0.8 / (0.8 + 8), number)
        chance = np.where(held, np.minimum(own * rate, 1), 0.02)
        return attempts.astype(float), random.binomial(attempts, chance).astype(float)

    attempts_before, failures_before = half(before)
    attempts_after, failures_after = half(after)
    return Exposure(attempts_before, failures_before, attempts_after, failures_after)


@pytest.mark.parametrize("number", [20, 190])
def test_an_intervention_without_effect_is_rarely_called_one(number: int) -> None:
    random = np.random.default_rng(4)
    stories = 400
    wrong = 0
    for _ in range(stories):
        looks = (
            compare(users(random, number, 0.5, 0.5), users(random, number, 0.3, 0.3), look=look)
            for look in range(1, LOOKS + 1)
        )
        wrong += any(found.effect is Effect.BETTER for found in looks)
    # Three standard errors above the promise would be a broken promise.
    assert wrong / stories <= FALSE_EFFECT_RATE + 3 * (FALSE_EFFECT_RATE * 0.95 / stories) ** 0.5


def test_a_fix_that_halves_the_failures_is_found() -> None:
    random = np.random.default_rng(5)
    found = [
        compare(users(random, 190, 0.6, 0.2), users(random, 85, 0.3, 0.3), look=2)
        for _ in range(50)
    ]
    assert sum(one.effect is Effect.BETTER for one in found) >= 45
    assert all(one.low <= one.change <= one.high for one in found)


def test_what_changed_for_everybody_is_not_the_fix() -> None:
    random = np.random.default_rng(6)
    found = [
        compare(users(random, 190, 0.6, 0.3), users(random, 190, 0.6, 0.3), look=1).effect
        for _ in range(100)
    ]
    assert found.count(Effect.BETTER) <= 8
    alone = compare(users(random, 190, 0.6, 0.3), None, look=1)
    assert alone.effect is Effect.BETTER
    assert alone.untouched_before is None


def test_getting_worse_is_said() -> None:
    random = np.random.default_rng(7)
    assert compare(users(random, 190, 0.2, 0.6), None, look=1).effect is Effect.WORSE


def test_a_handful_of_users_decides_nothing() -> None:
    few = Exposure(np.ones(4) * 9, np.ones(4) * 9, np.ones(4) * 9, np.zeros(4))
    assert compare(few, None, look=1).effect is Effect.NOT_ENOUGH_SEEN
    nobody = np.zeros(50)
    gone = Exposure(np.ones(50), np.ones(50), nobody, nobody)
    assert compare(gone, None, look=1).effect is Effect.NOT_ENOUGH_SEEN
