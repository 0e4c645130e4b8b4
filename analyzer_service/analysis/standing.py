"""Where users stand, week by week: believed from all their weeks, and slow to change.

Belief moves by a filter: last week's belief, allowing for the chance that the user has moved on,
times what this week says. What is *called* moves slower: another segment has to be likelier than
not by a margin, and the week before has to point there too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.panel import Panel
from analyzer_service.analysis.proficiency_groups import log_densities
from analyzer_service.analysis.proficiency_model import NAMES, SegmentModel

Ints = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

LEVELS = NAMES[3]
"""Beginner, Intermediate, Expert."""
RISE_PER_WEEK = 1 / 16
"""Chance allowed that a user has risen a level since last week. People rise perhaps once a year;
allowing for one in four months forgets old weeks soon enough to see a rise within three."""
TWO_LEVELS = 0.5
"""Of that chance, for two levels at once."""
FALL_TO_RISE = 1 / 3
"""Skill is learned more often than unlearned."""
RISE_ABOVE = 0.6
"""Probability of a higher segment from which a user is called by it."""
FALL_ABOVE = 0.7
"""The same downwards: calling an expert a beginner by mistake costs trust."""
WEEK_BEFORE_ABOVE = 0.1
"""In the week before at least so much, which is more than allowing for moves alone gives: one
exceptional week is not enough where the week before spoke against it."""
WEEK_ITSELF_ABOVE = 1.0
"""This week alone has to make another segment that way likelier than the present one, by more than
this factor: the echo of one exceptional week moves nobody whose next week is as ever."""
SETTLING_WEEKS = 6
"""While a user is this new, belief itself still swings with every week ..."""
SETTLING_MARGIN = 0.05
"""... so that a change needs so much more."""
BORDERLINE_BELOW = 0.9
"""A membership below this is a user who may well belong next door."""


@dataclass(frozen=True, slots=True)
class Standing:
    """By user and week; rows and columns as in the panel."""

    labels: Ints
    """Level called, Beginner 0; -1 before the user was first seen."""
    beliefs: Floats
    """(users, weeks, 3), rows adding up to 1."""

    def memberships(self) -> Floats:
        """Return the probability of the segment each user is called by, 0 before the first week."""
        safe = np.maximum(self.labels, 0)[..., None]
        own = np.take_along_axis(self.beliefs, safe, axis=-1)[..., 0]
        return np.where(self.labels < 0, 0.0, own)

    def borderline(self) -> npt.NDArray[np.bool_]:
        """Return whom to take with care: unsure, or called otherwise than now believed."""
        flags: npt.NDArray[np.bool_] = (self.labels >= 0) & (self.memberships() < BORDERLINE_BELOW)
        return flags


def transitions(groups: int) -> Floats:
    """Return the chance of moving between groups from one week to the next, row to column."""
    moves = np.zeros((groups, groups))
    for now in range(groups):
        for then in range(groups):
            if then == now:
                continue
            chance = RISE_PER_WEEK if then > now else RISE_PER_WEEK * FALL_TO_RISE
            # From the middle there are two ways to go, from an end one.
            chance *= TWO_LEVELS if abs(then - now) > 1 or 0 < now < groups - 1 else 1.0
            moves[now, then] = chance
    moves[np.diag_indices(groups)] = 1.0 - moves.sum(axis=1)
    return moves


def beliefs_of(model: SegmentModel, panel: Panel) -> Floats:
    """Return the probability of each segment, by user and week, from this week and those before.

    Returns:
        (users, weeks, 3), Beginner first; a segment the model does not know stays at 0.
    """
    return follow(model, panel)[0]


def follow(model: SegmentModel, panel: Panel) -> tuple[Floats, Floats]:
    """Return beliefs, and what each week says by itself.

    Returns:
        Two arrays (users, weeks, 3): probabilities, and likelihoods with the highest at 1 (all 1
        in a week without evidence). A segment the model does not know stays at 0.
    """
    scores, precisions = model.estimates(panel)
    logs = log_densities(scores, precisions, model.groups)
    known = precisions > 0
    logs = np.where(known[..., None], logs - logs.max(axis=-1, keepdims=True), 0.0)
    moves = transitions(len(model.centroids))
    sizes = np.array(model.sizes)
    belief = np.tile(sizes / sizes.sum(), (len(panel.users), 1))
    seen = np.zeros(len(panel.users), dtype=bool)
    found = np.zeros((*known.shape, len(LEVELS)))
    alone = np.zeros_like(found)
    columns = [LEVELS.index(segment) for segment in model.segments]
    for week in range(len(panel.weeks)):
        belief = np.where(seen[:, None], belief @ moves, belief)
        seen |= known[:, week]
        belief = belief * np.exp(logs[:, week])
        belief /= belief.sum(axis=1, keepdims=True)
        found[:, week, columns] = belief
        alone[:, week, columns] = np.exp(logs[:, week])
    return found, alone


def called(now: Ints, before: Floats, belief: Floats, alone: Floats, age: Ints) -> Ints:
    """Return what users are called after one more week in which they were seen.

    Args:
        now: level they are called by, -1 for who was never seen.
        before: belief (users, 3) after the week before.
        belief: belief after this week.
        alone: likelihoods of this week by itself.
        age: weeks each user was seen in, this one included.
    """
    likeliest = belief.argmax(axis=1)
    above_before, below_before = _tails(before, now)
    above, below = _tails(belief, now)
    margin = np.where(age <= SETTLING_WEEKS, SETTLING_MARGIN, 0.0)
    rises = (above > RISE_ABOVE + margin) & (above_before > WEEK_BEFORE_ABOVE)
    falls = (below > FALL_ABOVE + margin) & (below_before > WEEK_BEFORE_ABOVE)
    higher, lower = _beyond(alone, now)
    rises &= higher
    falls &= lower
    risen = np.where(rises, np.maximum(likeliest, now + 1), now)
    moved = np.where(falls, np.minimum(likeliest, now - 1), risen)
    named: Ints = np.where(now < 0, likeliest, moved)
    return named


def _beyond(alone: Floats, now: Ints) -> tuple[Flags, Flags]:
    """Return whether this week by itself allows for more, and for less, than users are called."""
    rows, safe = np.arange(len(now)), np.maximum(now, 0)
    least = WEEK_ITSELF_ABOVE * alone[rows, safe]
    levels = np.arange(alone.shape[1])
    higher = np.where(levels > safe[:, None], alone, 0.0).max(axis=1) > least
    lower = np.where(levels < safe[:, None], alone, 0.0).max(axis=1) > least
    return higher, lower


def _tails(belief: Floats, now: Ints) -> tuple[Floats, Floats]:
    """Return the probability of being above, and of being below, what each user is called by."""
    rows, safe = np.arange(len(now)), np.maximum(now, 0)
    upto = np.cumsum(belief, axis=1)
    own = belief[rows, safe]
    return 1.0 - upto[rows, safe], upto[rows, safe] - own
