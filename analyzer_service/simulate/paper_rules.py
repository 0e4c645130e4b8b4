"""The four rules as the truth understands them.

Written down here a second time on purpose: a truth derived from the rule set under test would
agree with it whatever it says. Source: Meena, Suman, Agneeswaran, OpML 2020, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from analyzer_service.domain import ChallengeKind, Segment


@dataclass(frozen=True, slots=True)
class Clause:
    """One segment's condition: a share strictly above, or strictly below, a threshold."""

    threshold: float
    above: bool = True

    def distance(self, share: float) -> float:
        """Return how far a share lies on the fulfilling side; negative where it does not."""
        return share - self.threshold if self.above else self.threshold - share


@dataclass(frozen=True, slots=True)
class PlantedRule:
    """What a rule says of a signal whose clauses all hold."""

    kind: ChallengeKind
    redundancy: bool
    clauses: Mapping[Segment, Clause]


RULES: Final[Mapping[int, PlantedRule]] = {
    1: PlantedRule(
        ChallengeKind.SIMPLICITY_OF_PLATFORM,
        redundancy=False,
        clauses={
            Segment.EXPERT: Clause(0.50),
            Segment.INTERMEDIATE: Clause(0.65),
            Segment.BEGINNER: Clause(0.80),
        },
    ),
    2: PlantedRule(
        ChallengeKind.EDUCATION_TRAINING,
        redundancy=False,
        clauses={
            Segment.EXPERT: Clause(0.10, above=False),
            Segment.INTERMEDIATE: Clause(0.65),
            Segment.BEGINNER: Clause(0.80),
        },
    ),
    3: PlantedRule(
        ChallengeKind.SIMPLICITY_OF_PLATFORM,
        redundancy=True,
        clauses={Segment.EXPERT: Clause(0.50)},
    ),
    4: PlantedRule(
        ChallengeKind.EDUCATION_TRAINING,
        redundancy=True,
        clauses={
            Segment.EXPERT: Clause(0.10, above=False),
            Segment.INTERMEDIATE: Clause(0.50),
            Segment.BEGINNER: Clause(0.75),
        },
    ),
}
"""Every comparison is strict."""

REDUNDANT_MORE_THAN: Final = 5
"""Equal digests within an ISO week or a calendar month beyond which an action is redundant."""
