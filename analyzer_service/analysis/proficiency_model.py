"""A segment model: everything needed to place a user's weeks, frozen, versioned, serialisable.

A model is learned once and kept: between scheduled refits users move because they change, never
because the ruler does. Its version is a digest of its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.panel import FEATURES, Panel
from analyzer_service.analysis.proficiency_axis import Axis, learn_axis
from analyzer_service.analysis.proficiency_groups import Groups, group_on_axis
from analyzer_service.analysis.proficiency_scale import (
    FeatureScale,
    Kind,
    learn_scales,
    standard_scores,
)
from analyzer_service.domain import Segment
from analyzer_service.errors import InvalidInputError

MODEL_SEED = 20200728
"""Any fixed number serves; this is the day of the paper's conference."""
DIGITS = 9
"""Figures are rounded so that the last bits of a processor's arithmetic do not show."""
REFERENCE_CUTS = 9
"""Cut points of the reference distribution: tenths, fine enough to see either end move."""

NAMES: dict[int, tuple[Segment, ...]] = {
    1: (Segment.INTERMEDIATE,),
    2: (Segment.BEGINNER, Segment.EXPERT),
    3: (Segment.BEGINNER, Segment.INTERMEDIATE, Segment.EXPERT),
}
"""Names by number of groups, least proficient first. Where all users are alike nobody is above or
below anybody; where only two kinds exist they are the ends."""


@dataclass(frozen=True, slots=True)
class SegmentModel:
    """Scaling, axis, centroids and sizes, in plain numbers."""

    scales: tuple[FeatureScale, ...]
    offset: tuple[float, ...]
    loadings: tuple[float, ...]
    noise: tuple[tuple[float, ...], ...]
    centroids: tuple[float, ...]
    """On the axis, least proficient first."""
    sizes: tuple[float, ...]
    dispersion: float
    users: int
    """Learned from so many."""
    first_week: int
    last_week: int
    reference_cuts: tuple[float, ...]
    """Tenths of the users' weekly proficiency when the model was learned: what drift is told by."""

    @property
    def version(self) -> str:
        """Twelve hex digits of a digest: equal content, equal version."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the centroids, in their order."""
        return NAMES[len(self.centroids)]

    @property
    def groups(self) -> Groups:
        """The groups as arrays."""
        return Groups(np.array(self.centroids), np.array(self.sizes), self.dispersion)

    def estimates(self, panel: Panel) -> tuple[Floats, Floats]:
        """Return proficiency and precision (users, weeks); precision 0 where nothing was seen."""
        names = tuple(scale.name for scale in self.scales)
        if names != panel.features:
            raise InvalidInputError(
                f"The segment model was learned from {', '.join(names)}, "
                f"not from {', '.join(panel.features)}.",
                hint="Give the same features, or learn a model anew.",
                field="model",
            )
        return self._axis().estimates(standard_scores(panel, self.scales))

    def _axis(self) -> Axis:
        return Axis(np.array(self.offset), np.array(self.loadings), np.array(self.noise))

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON-ready values."""
        return {**asdict(self), "version": self.version}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> SegmentModel:
        """Read a model back.

        Raises:
            InvalidInputError: if it is not one, or was changed.
        """
        try:
            model = cls._read(document)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"This is not a segment model: {error!r}.",
                hint="Give a file that `mlp-analyzer segment --model-out FILE` wrote.",
                field="model",
            ) from error
        if document.get("version") != model.version:
            raise InvalidInputError(
                f"The segment model says version {document.get('version')}, its content is "
                f"{model.version}.",
                hint="The file was changed after it was written; take the original.",
                field="model",
            )
        return model

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> SegmentModel:
        scales = tuple(
            FeatureScale(
                name=str(item["name"]),
                kind=Kind(item["kind"]),
                start=float(item["start"]),
                center=float(item["center"]),
                spread=float(item["spread"]),
            )
            for item in document["scales"]
        )
        if tuple(scale.name for scale in scales)[: len(FEATURES)] != FEATURES:
            raise ValueError(f"its features do not begin with {', '.join(FEATURES)}")
        model = cls(
            scales=scales,
            offset=_floats(document["offset"]),
            loadings=_floats(document["loadings"]),
            noise=tuple(_floats(row) for row in document["noise"]),
            centroids=_floats(document["centroids"]),
            sizes=_floats(document["sizes"]),
            dispersion=float(document["dispersion"]),
            users=int(document["users"]),
            first_week=int(document["first_week"]),
            last_week=int(document["last_week"]),
            reference_cuts=_floats(document["reference_cuts"]),
        )
        if len(model.centroids) not in NAMES or len(model.sizes) != len(model.centroids):
            raise ValueError("it has no centroids")
        return model


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def fit(
    panel: Panel, *, seed: int = MODEL_SEED, previous: SegmentModel | None = None
) -> SegmentModel:
    """Learn a model from the users and weeks there are.

    Args:
        panel: at least one user of whom something was observed.
        seed: of K-means.
        previous: the model this one follows: up stays up.

    Returns:
        The same for any number of threads.

    Raises:
        InvalidInputError: if nobody did anything.
    """
    panel = panel.present()
    if not panel.users:
        raise InvalidInputError(
            "Nobody did anything in these weeks, so there is nothing to learn segments from.",
            hint="Give weeks in which users acted.",
            field="actions",
        )
    with threadpool_limits(limits=1):
        scales = learn_scales(panel)
        axis = learn_axis(standard_scores(panel, scales))
        draft = SegmentModel(
            scales=scales,
            offset=_rounded(axis.offset),
            loadings=_rounded(axis.loadings),
            noise=tuple(_rounded(row) for row in axis.noise),
            centroids=(0.0,),
            sizes=(1.0,),
            dispersion=1.0,
            users=len(panel.users),
            first_week=panel.weeks[0],
            last_week=panel.weeks[-1],
            reference_cuts=(),
        )
        scores, precisions = draft.estimates(panel)
        if previous is not None and _is_turned(previous, panel, scores, precisions):
            draft = replace(draft, loadings=_rounded(-axis.loadings))
            scores = -scores
        groups = group_on_axis(*combined(scores, precisions), seed=seed)
    told = scores[precisions > 0] if (precisions > 0).any() else np.zeros(1)
    tenths = np.quantile(told, np.linspace(0, 1, REFERENCE_CUTS + 2)[1:-1])
    return replace(
        draft,
        centroids=_rounded(groups.centroids),
        sizes=_rounded(groups.sizes),
        dispersion=round(groups.dispersion, DIGITS),
        reference_cuts=_rounded(tenths),
    )


def _is_turned(previous: SegmentModel, panel: Panel, scores: Floats, precisions: Floats) -> bool:
    """Tell whether the users whom the previous model put high are now low."""
    old, known = previous.estimates(panel)
    both = (precisions > 0) & (known > 0)
    return bool(((old - old[both].mean()) * scores)[both].sum() < 0) if both.any() else False


def combined(scores: Floats, precisions: Floats) -> tuple[Floats, Floats]:
    """Return one proficiency and precision per user: weeks weigh by their information."""
    total = precisions.sum(axis=1)
    safe = np.maximum(total, 1e-12)
    return (scores * precisions).sum(axis=1) / safe, safe


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)
