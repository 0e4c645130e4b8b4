"""Users whose skill is known, week by week, and the classifier that knows their distributions.

393 users, Beginner / Intermediate / Expert as skill 0, 1, 2. Per week, at separation s: actions
negative binomial, distinct features binomial out of 20, completion time and minutes per session
log-normal. Skill changes only where a promotion is planted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, nbinom, norm

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

SIZES = (190, 118, 85)
FEATURES = 20
SHAPE = 1.2
LEVELS = np.arange(3)


@dataclass(frozen=True)
class World:
    """Skill (users, weeks) and observations (users, weeks) by column."""

    separation: float
    skill: Ints
    columns: Mapping[str, Floats]

    @property
    def weeks(self) -> int:
        """How many are seen."""
        return self.skill.shape[1]

    def until(self, weeks: int) -> World:
        """Return the first so many weeks."""
        return World(
            self.separation,
            self.skill[:, :weeks],
            {name: values[:, :weeks] for name, values in self.columns.items()},
        )


def shapes(separation: float, skill: npt.NDArray[np.integer[Any]]) -> tuple[Floats, ...]:
    """Return mean actions, probability of a feature, log completion, log minutes."""
    shift = separation * skill
    return (
        np.exp(3.2 + 0.9 * shift),
        1 / (1 + np.exp(1.5 - 0.9 * shift)),
        5.5 - 0.5 * shift,
        2.8 + 0.35 * shift,
    )


def draw(
    seed: int,
    separation: float,
    weeks: int,
    *,
    sizes: Sequence[int] = SIZES,
    promoted_week: int | None = None,
    promoted: int = 0,
    levels: int = 1,
) -> World:
    """Draw a world.

    Args:
        seed: makes another one.
        separation: how far apart the levels are.
        weeks: how many are seen.
        sizes: users by level, least skilled first.
        promoted_week: the first week at the new level.
        promoted: users who are promoted, drawn among those who can be.
        levels: by how many levels.
    """
    rng = np.random.default_rng(seed)
    start = np.repeat(LEVELS, sizes)
    skill = np.repeat(start[:, None], weeks, axis=1)
    if promoted_week is not None:
        able = np.flatnonzero(start + levels <= LEVELS[-1])
        chosen = rng.choice(able, size=promoted, replace=False)
        skill[chosen, promoted_week:] += levels
    mean, probability, completion, minutes = shapes(separation, skill)
    columns = {
        "actions": rng.poisson(rng.gamma(SHAPE, mean / SHAPE)).astype(np.float64),
        "distinct_actions": rng.binomial(FEATURES, probability).astype(np.float64),
        "completion_seconds": np.exp(rng.normal(completion, 0.8)),
        "minutes_per_session": np.exp(rng.normal(minutes, 0.7)),
    }
    return World(separation, skill, columns)


def oracle_scores(world: World) -> Floats:
    """Return the log likelihood of every level, (users, weeks, levels)."""
    seen = {name: values[..., None] for name, values in world.columns.items()}
    mean, probability, completion, minutes = shapes(world.separation, LEVELS)
    scores: Floats = (
        nbinom.logpmf(seen["actions"], SHAPE, SHAPE / (SHAPE + mean))
        + binom.logpmf(seen["distinct_actions"], FEATURES, probability)
        + norm.logpdf(np.log(seen["completion_seconds"]), completion, 0.8)
        + norm.logpdf(np.log(seen["minutes_per_session"]), minutes, 0.7)
    )
    return scores


def oracle(world: World) -> Ints:
    """Return the likeliest level of every user, all weeks together."""
    sizes = np.log(np.bincount(world.skill[:, 0], minlength=len(LEVELS)))
    levels: Ints = (oracle_scores(world).sum(axis=1) + sizes).argmax(axis=1)
    return levels
