"""Who works on the platform: pseudonyms, segments and what skill does to each user's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.domain import RATED_SEGMENTS, Segment
from analyzer_service.simulate.catalogue import Catalogue
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.scenario import Scenario, Trait
from otel_instrumentation.privacy import pseudonym

UNRATED: Final = -1
"""Segment number of the infrequent; rated users have their place in RATED_SEGMENTS."""

PROFICIENCY: Final = {Segment.EXPERT: 2.0, Segment.INTERMEDIATE: 1.0, Segment.BEGINNER: 0.0}
"""The z of the scenario's traits."""

INFREQUENT_PROFICIENCY: Final = ((0.0, 0.7), (1.0, 0.2), (2.0, 0.1))
"""Those who hardly use the platform are mostly new to it."""

_GIVEN: Final = (
    *("ada", "ben", "chen", "dina", "elif", "femi", "gita", "hugo"),
    *("ines", "jun", "kofi", "lena", "mei", "noor", "otto", "pia"),
)
_FAMILY: Final = (
    *("abe", "brandt", "cruz", "das", "egli", "fofana", "gupta"),
    *("hahn", "ito", "jansen", "kaur", "lopez", "moss"),
)


@dataclass(frozen=True, slots=True)
class People:
    """All users as parallel arrays; their order says nothing about them."""

    hashes: tuple[str, ...]
    teams: NDArray[np.int64]
    segment: NDArray[np.int64]
    """Index into RATED_SEGMENTS, or UNRATED."""
    z: NDArray[np.float64]
    completion: NDArray[np.float64]
    """Mean natural logarithm of the factor on an action's seconds."""
    session_minutes: NDArray[np.float64]
    """Mean natural logarithm."""
    key_share: NDArray[np.float64]
    adopted: NDArray[np.bool_]
    """(users, actions): which key actions a user ever performs."""

    @property
    def rated(self) -> NDArray[np.int64]:
        """Numbers of the rated users."""
        return np.flatnonzero(self.segment != UNRATED)

    def members(self, segment: Segment) -> NDArray[np.int64]:
        """Return the numbers of a segment's users."""
        return np.flatnonzero(self.segment == RATED_SEGMENTS.index(segment))


def expectation(trait: Trait, separation: float, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a trait's expectation, on its own scale, for users of proficiency ``z``."""
    return trait.base + trait.slope * separation * z


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def populate(scenario: Scenario, catalogue: Catalogue, seed: int) -> People:
    """Draw the users of a world."""
    random = stream(seed, "people")
    segment = _segments(scenario, random)
    z = _proficiency(segment, random)
    skill, separation = scenario.skill, scenario.separation
    key_share = expectation(skill.key_share, separation, z)
    key_share += random.normal(0, skill.key_share.spread, len(z))
    return People(
        hashes=tuple(pseudonym(name, scenario.salt) for name in _names(len(z), random)),
        teams=random.integers(0, scenario.population.teams, len(z)),
        segment=segment,
        z=z,
        completion=expectation(skill.completion_seconds, separation, z),
        session_minutes=expectation(skill.session_minutes, separation, z),
        key_share=logistic(key_share),
        adopted=_adopted(scenario, catalogue, z, random),
    )


def _segments(scenario: Scenario, random: np.random.Generator) -> NDArray[np.int64]:
    rated = scenario.population.rated
    sizes = [getattr(rated, segment.value) for segment in RATED_SEGMENTS]
    numbers = np.repeat([0, 1, 2, UNRATED], [*sizes, scenario.population.infrequent])
    return random.permutation(numbers).astype(np.int64)


def _proficiency(segment: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    values, weights = zip(*INFREQUENT_PROFICIENCY, strict=True)
    z = random.choice(values, len(segment), p=weights).astype(np.float64)
    for number, name in enumerate(RATED_SEGMENTS):
        z[segment == number] = PROFICIENCY[name]
    return z


def _names(count: int, random: np.random.Generator) -> list[str]:
    bases = [f"{given}.{family}" for given in _GIVEN for family in _FAMILY]
    repeats = -(-count // len(bases))
    names = [f"{base}{number or ''}" for number in range(repeats) for base in bases]
    return [names[i] for i in random.permutation(len(names))[:count]]


def _adopted(
    scenario: Scenario,
    catalogue: Catalogue,
    z: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    chance = logistic(expectation(scenario.skill.breadth, scenario.separation, z))
    drawn = random.random((len(z), len(catalogue.actions))) < chance[:, None]
    return np.asarray(drawn | catalogue.core[None, :])
