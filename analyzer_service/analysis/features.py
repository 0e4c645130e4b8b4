"""Features of users, from action and time signals only.

Errors and redundant actions never enter: "experts see fewer errors" would then be true by
construction. ``UserActivity`` has no such field, and a test holds that.

Every feature is signed so that more means more proficient; that is what lets centroids be
ordered from beginner to expert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer_service.domain import UserActivity

Floats = npt.NDArray[np.float64]

RATED_MIN_ACTIONS = 5
"""Fewer actions say nothing of skill."""
RATED_MIN_ACTIVE_DAYS = 2
"""One visit may be a demonstration or a mistake; coming back is use."""

CLIP_Z = 4.0
"""Standard scores beyond this are pulled in, or one script's million actions move a centroid."""
RIDGE_USERS = 5.0
"""Imagined users whose features are unrelated: with few real ones, guesses stay average."""
MIN_SPREAD = 1e-9
"""A column that varies less than this is constant: it tells nobody apart."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: its plain value for people, and the scale on which users are compared."""

    name: str
    plain: Callable[[UserActivity], float]
    scale: Callable[[Floats], Floats]
    weight: float = 1.0
    """Trust in (0, 1]: w stands for extra noise that makes the column's spread 1/w as wide."""
    known: Callable[[UserActivity], bool] = lambda _: True
    """False where the user gave no occasion to measure; such a value is guessed."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Rows in the order of the users given, columns in the order of the features given."""

    names: tuple[str, ...]
    plain: Floats
    points: Floats
    """Standard scores, clipped, signed: more is more proficient."""
    weights: Floats


def _as_is(values: Floats) -> Floats:
    return values


def _negated(values: Floats) -> Floats:
    return -values


def _log(values: Floats) -> Floats:
    return np.log1p(np.maximum(values, 0.0))


def _arcsine_of_share(values: Floats) -> Floats:
    return np.arcsin(np.sqrt(np.clip(values, 0.0, 1.0)))


def _arcsine_of_most(values: Floats) -> Floats:
    """Stabilise a count out of the most that anybody reached (Anscombe's arcsine).

    Near the maximum it spreads a saturating count as a logit would, without a logit's blow-up;
    far below (one outlier reached hundreds) it becomes the square root, the scale of a count.
    """
    counts = np.maximum(values, 0.0)
    most = float(counts.max(initial=0.0))
    scaled: Floats = np.arcsin(np.sqrt((counts + 0.375) / (most + 0.75)))
    return scaled


def _key_share(activity: UserActivity) -> float:
    return activity.key_actions / activity.actions if activity.actions else 0.0


VOLUME_WEIGHT = 0.7
"""Activity is not skill, yet carries some of it; see the experiment in docs/adr/0004."""
HABIT_WEIGHT = 0.5
"""Key share and active days depend on the role and the working week as much as on skill."""

CALIBRATED_FEATURES = (
    Feature("distinct_key_actions", lambda a: float(a.distinct_key_actions), _arcsine_of_most),
    Feature(
        "relative_log_duration",
        lambda a: a.relative_log_duration,
        _negated,
        known=lambda a: a.completed > 0,
    ),
    Feature("session_minutes", lambda a: a.session_minutes, _log, known=lambda a: a.sessions > 0),
    Feature("actions", lambda a: float(a.actions), _log, weight=VOLUME_WEIGHT),
    Feature("key_share", _key_share, _arcsine_of_share, weight=HABIT_WEIGHT),
    Feature("active_days", lambda a: float(a.active_days), _arcsine_of_most, weight=HABIT_WEIGHT),
)
"""Breadth, speed and persistence first; volume and habits with less trust."""

PAPER_FEATURES = (
    Feature("key_actions", lambda a: float(a.key_actions), _as_is),
    Feature("clicks", lambda a: float(a.clicks), _as_is),
    Feature("views", lambda a: float(a.views), _as_is),
    Feature("sessions", lambda a: float(a.sessions), _as_is),
    Feature("session_minutes", lambda a: a.session_minutes, _as_is),
)
"""Volumes of the paper's MLP-action and MLP-time signals. The paper names no scaling: plain."""


def is_rated(activity: UserActivity) -> bool:
    """Tell whether a user did enough to be put in a segment."""
    return activity.actions >= RATED_MIN_ACTIONS and activity.active_days >= RATED_MIN_ACTIVE_DAYS


def feature_table(activities: Sequence[UserActivity], features: Sequence[Feature]) -> FeatureTable:
    """Measure users, one row each.

    Args:
        activities: the rated users, in the order wanted.
        features: the columns.

    Returns:
        Plain values, and standard scores fit for distances. A value that was not measured is what
        users with the same other features have; a column in which all users agree is 0.
    """
    plain = np.array([[f.plain(a) for f in features] for a in activities], dtype=np.float64)
    plain = plain.reshape(len(activities), len(features))
    points = np.zeros_like(plain)
    known = np.array([[f.known(a) for f in features] for a in activities], dtype=bool)
    known = known.reshape(plain.shape) & np.isfinite(plain)
    plain = np.where(np.isfinite(plain), plain, 0.0)
    for column, feature in enumerate(features):
        rows = known[:, column]
        if rows.any():
            points[rows, column] = _standard_scores(feature.scale(plain[rows, column]))
    points = _filled(points, known)
    return FeatureTable(
        names=tuple(f.name for f in features),
        plain=plain,
        points=points,
        weights=np.array([f.weight for f in features]),
    )


def _standard_scores(values: Floats) -> Floats:
    spread = float(values.std())
    if spread < MIN_SPREAD:
        return np.zeros_like(values)
    scores: Floats = np.clip((values - values.mean()) / spread, -CLIP_Z, CLIP_Z)
    return scores


def _filled(points: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Guess values that were not measured from the user's other features, by ridge regression.

    The plain average would be a lie: between two far-off clusters it is strong evidence for the
    one in the middle.
    """
    filled = points.copy()
    for column in np.flatnonzero(~known.all(axis=0)):
        rows = known[:, column]
        others = np.delete(points, column, axis=1)
        gram = others[rows].T @ others[rows] + RIDGE_USERS * np.eye(others.shape[1])
        slopes = np.linalg.solve(gram, others[rows].T @ points[rows, column])
        filled[~rows, column] = others[~rows] @ slopes
    return np.clip(filled, -CLIP_Z, CLIP_Z)
