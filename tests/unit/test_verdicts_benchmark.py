"""The planted worlds themselves: what they hold, and that the references come out as known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.verdicts import judges
from benchmarks.verdicts.measure import Tally, calibrated, measure, summary
from benchmarks.verdicts.worlds import (
    ET,
    LARGE,
    MIXED,
    NONE,
    SIGNALS,
    SMALL,
    SOP,
    TINY,
    VARIATIONS,
    Setting,
    draw,
)


@pytest.mark.parametrize("variation", sorted(VARIATIONS))
def test_every_variation_can_be_drawn_again(variation: str) -> None:
    setting = Setting(TINY, partly=True, variation=variation)
    one, again, other = draw(setting, 5), draw(setting, 5), draw(setting, 6)
    assert np.array_equal(one.failures, again.failures)
    assert not np.array_equal(one.failures[:50], other.failures[:50])
    assert np.all((one.failures >= 0) & (one.failures <= one.attempts))
    assert np.all(judges.table(one).sum(axis=1) > 0)
    assert sum(one.given_sizes) == sum(TINY)


def test_a_base_world_holds_what_it_should() -> None:
    world = draw(Setting(LARGE, partly=False), 1)
    assert np.bincount(world.truth).tolist() == [160, 20, 10, 10]
    assert (NONE, SOP, ET, MIXED) == (0, 1, 2, 3)
    unaffected = ~world.affected
    rate = world.failures[unaffected].sum() / world.attempts[unaffected].sum()
    assert rate == pytest.approx(0.02, abs=0.001)
    means = [world.attempts[world.segment == segment].mean() for segment in range(3)]
    assert means == pytest.approx([13, 9, 6], abs=0.3)


def test_in_bursts_failures_come_together() -> None:
    bursts = draw(Setting(LARGE, partly=False, variation="bursts"), 1)
    unaffected = ~bursts.affected & (bursts.failures > 0) & (bursts.attempts > 10)
    assert bursts.failures[unaffected].mean() > 2.5


def test_references_are_where_they_are_known_to_be() -> None:
    """The oracle near 0.98 / 0.99, the literal rules near 0.24 / 0.71, a plain mixture between."""
    worlds = [draw(Setting(LARGE, partly=False), 100 + seed) for seed in range(6)]
    figures = {}
    for name, answer in (
        ("oracle", judges.oracle),
        ("literal", lambda world: judges.literal(world, exposed=False)),
        ("mixture", judges.plain_mixture),
    ):
        tally = Tally()
        for world in worlds:
            tally.add(world.truth, answer(world))
        figures[name] = tally.figures()
    assert figures["oracle"]["recall"] > 0.93
    assert figures["oracle"]["precision"] > 0.95
    assert figures["oracle"]["confirmed_right"] > 0.98
    assert figures["literal"]["recall"] == pytest.approx(0.24, abs=0.08)
    assert figures["literal"]["precision"] == pytest.approx(0.71, abs=0.10)
    assert figures["literal"]["recall"] < figures["mixture"]["recall"] < figures["oracle"]["recall"]


@pytest.mark.parametrize("variation", ["base", "bursts", "noise 0.05", "shifted"])
def test_calibrated_comes_close_to_the_oracle(variation: str) -> None:
    setting = Setting(LARGE, partly=True, variation=variation)
    figures = summary(setting, range(2), measure(setting, range(70_000, 70_002)))
    assert figures["recall_of_oracle"] >= 0.85
    assert figures["precision_over_oracle"] >= -0.08


def test_the_same_users_in_another_order_get_the_same_verdicts() -> None:
    world = draw(Setting(SMALL, partly=True), 3)
    order = np.random.default_rng(0).permutation(len(world.signal))
    columns = ("signal", "segment", "user", "attempts", "failures", "affected")
    shuffled = type(world)(
        world.sizes,
        *(getattr(world, name)[order] for name in columns),
        truth=world.truth,
        given_sizes=world.given_sizes,
    )
    assert np.array_equal(calibrated(world).probability, calibrated(shuffled).probability)
    assert len(calibrated(world).kind) == SIGNALS
