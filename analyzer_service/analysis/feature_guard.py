"""A guard at the door of the segments: which features may not come in, and why.

A segment is to explain outcomes, so nothing made from an outcome may make it; a value that is not
there when users are placed cannot place them; and a value that by itself tells who was affected is
the outcome under another name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from analyzer_service.analysis.features import Floats
from analyzer_service.errors import InvalidInputError

OUTCOME_WORDS = (
    "abort",
    "affected",
    "crash",
    "error",
    "exception",
    "fail",
    "outcome",
    "redundan",
    "repeat",
    "retr(y|ies)",
    "success",
    "timeout",
)
"""What outcomes and redundant actions are called in column names, in any case."""
KNOWN_SHARE = 0.5
"""A feature unknown for more than half of the users of the newest week is a guess for most."""
ANSWER_AUC = 0.95
"""Chance that an affected user ranks beyond an unaffected one from which a feature is the answer;
honest features of skill stay well below, even where experts are hardly ever affected."""
LEAST_COMPARED = 5
"""Affected and unaffected users needed to compare their ranks."""


class Refusal(StrEnum):
    """Why a feature stays out."""

    LOOKS_INTO_OUTCOME = "looks into the outcome"
    EMPTY_AT_PREDICTION = "is empty when the prediction is made"
    GIVES_ANSWER_AWAY = "gives the answer away at the end of the window"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A feature that wants in."""

    name: str
    values: Floats
    """(users, weeks), NaN where unknown."""
    active: npt.NDArray[np.bool_]
    """(users, weeks): who did anything."""
    affected: npt.NDArray[np.bool_] | None = None
    """By user, where it is known who was affected by what segments are to explain."""


def refusal(candidate: Candidate) -> Refusal | None:
    """Return why a feature may not make segments; None if it may."""
    if re.search("|".join(OUTCOME_WORDS), candidate.name, re.IGNORECASE):
        return Refusal.LOOKS_INTO_OUTCOME
    if _known_share(candidate) < KNOWN_SHARE:
        return Refusal.EMPTY_AT_PREDICTION
    auc = _auc_at_end(candidate)
    if auc is not None and max(auc, 1 - auc) >= ANSWER_AUC:
        return Refusal.GIVES_ANSWER_AWAY
    return None


def admit(candidate: Candidate) -> None:
    """Let a feature in.

    Raises:
        InvalidInputError: it may not make segments; the message names the reason.
    """
    reason = refusal(candidate)
    if reason is not None:
        raise InvalidInputError(
            f"Feature {candidate.name!r} {reason}, so it cannot make segments.",
            hint="Use action and time signals that are known when users are placed.",
            field=candidate.name,
        )


def _known_share(candidate: Candidate) -> float:
    """Return the share of the newest week's active users whose value is known then."""
    active = candidate.active[:, -1]
    if not active.any():
        return 0.0
    return float(np.isfinite(candidate.values[active, -1]).mean())


def _auc_at_end(candidate: Candidate) -> float | None:
    if candidate.affected is None:
        return None
    values = candidate.values[:, -1]
    known = np.isfinite(values)
    affected = candidate.affected[known]
    hit, spared = int(affected.sum()), int((~affected).sum())
    if min(hit, spared) < LEAST_COMPARED:
        return None
    ranks = rankdata(values[known])
    above = float(ranks[affected].sum()) - hit * (hit + 1) / 2
    return above / (hit * spared)
