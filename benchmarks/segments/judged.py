"""What the segmenter, the oracle and plain alternatives make of worlds, in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from analyzer_service.analysis.panel import FEATURES, panel_of
from analyzer_service.analysis.proficiency_model import fit
from analyzer_service.analysis.segment_change import likeliest
from analyzer_service.analysis.weekly_segments import WeeklySegments, segment_weeks
from analyzer_service.domain import UserWeek
from benchmarks.segments.worlds import LEVELS, Floats, Ints, World, draw, oracle

SEPARATIONS = (1.0, 0.6)
WEEKS_SEEN = (1, 4, 6)
CHURN_FROM = 5
"""First week whose changes count, the first week being 1."""
PROMOTED_WEEK = 8
"""First at the new level, counted from 0: segments have settled."""
PROMOTED = 30
VISIBLE_WITHIN = 3
LAST_WEEK = 13
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


def on_one_thread() -> None:
    """Keep this process' libraries, loaded by now, on one thread: processes share the cores."""
    threadpool_limits(limits=1)


def observed(world: World) -> list[UserWeek]:
    users, weeks = world.skill.shape
    return [
        UserWeek(f"{u:06d}", w, *(float(world.columns[name][u, w]) for name in FEATURES))
        for u in range(users)
        for w in range(weeks)
    ]


def averages_of_logs(world: World) -> Floats:
    points = np.stack([np.log1p(world.columns[name]).mean(axis=1) for name in FEATURES], axis=1)
    scores: Floats = (points - points.mean(axis=0)) / points.std(axis=0)
    return scores


def plain_kmeans(world: World) -> Ints:
    found: Ints = KMeans(3, n_init=10, random_state=0).fit_predict(averages_of_logs(world))
    return found


def tied_mixture(world: World) -> Ints:
    model = GaussianMixture(3, covariance_type="tied", n_init=5, random_state=0)
    found: Ints = model.fit_predict(averages_of_logs(world))
    return found


def agreement(separation: float, seeds: Iterable[int], *, plain: bool) -> list[dict[str, Any]]:
    """Compare partitions after one, four and six weeks, with the flag and its reliability."""
    found: dict[int, list[dict[str, float]]] = {weeks: [] for weeks in WEEKS_SEEN}
    for seed in seeds:
        world = draw(seed, separation, max(WEEKS_SEEN))
        truth = world.skill[:, 0]
        segments = segment_weeks(observed(world))
        for weeks in WEEKS_SEEN:
            seen = world.until(weeks)
            row = {
                "oracle": adjusted_rand_score(truth, oracle(seen)),
                "ours": adjusted_rand_score(truth, segments.standing.labels[:, weeks - 1]),
                **_flags(segments, truth, weeks - 1),
            }
            if plain:
                row["kmeans"] = adjusted_rand_score(truth, plain_kmeans(seen))
                row["tied_mixture"] = adjusted_rand_score(truth, tied_mixture(seen))
            found[weeks].append(row)
    return [{"separation": separation, "weeks": w, **_agreement(rows)} for w, rows in found.items()]


def _flags(segments: WeeklySegments, truth: Ints, week: int) -> dict[str, float]:
    wrong = segments.standing.labels[:, week] != truth
    flagged = segments.standing.borderline()[:, week]
    return {
        "users": float(len(truth)),
        "wrong": float(wrong.sum()),
        "flagged": float(flagged.sum()),
        "wrong_flagged": float((wrong & flagged).sum()),
    }


def _agreement(rows: list[dict[str, float]]) -> dict[str, Any]:
    sums = {name: sum(row[name] for row in rows) for name in rows[0]}
    means = {n: round(sums[n] / len(rows), 3) for n in sums if n in {"kmeans", "tied_mixture"}}
    return {
        "seeds": len(rows),
        "oracle": round(sums["oracle"] / len(rows), 3),
        "ours": round(sums["ours"] / len(rows), 3),
        "of_oracle": round(sums["ours"] / sums["oracle"], 3),
        **means,
        "wrongly_placed": round(sums["wrong"] / sums["users"], 3),
        "flag_covers_wrong": round(sums["wrong_flagged"] / max(sums["wrong"], 1), 3),
        "flagged": round(sums["flagged"] / sums["users"], 3),
    }


def steadiness(separation: float, seeds: Iterable[int]) -> dict[str, Any]:
    """Measure changes of segment where skill never changes, beside a weekly refit of K-means."""
    ours, refit = [], []
    for seed in seeds:
        world = draw(10_000 + seed, separation, LAST_WEEK)
        ours.append(_churn(segment_weeks(observed(world)).standing.labels))
        refit.append(_churn(_weekly_refit(world)))
    weekly = np.mean(ours, axis=0)
    return {
        "separation": separation,
        "seeds": len(ours),
        "churn_a_week": round(float(weekly.mean()), 3),
        "churn_by_week": [round(float(value), 3) for value in weekly],
        "churn_weekly_refit": round(float(np.mean(refit)), 3),
    }


def _churn(labels: Ints) -> Floats:
    now, before = labels[:, CHURN_FROM - 1 :], labels[:, CHURN_FROM - 2 : -1]
    changed: Floats = (now != before).mean(axis=0)
    return changed


def _weekly_refit(world: World) -> Ints:
    """Return plain K-means of each week alone, named by order of centroids."""
    columns = []
    for week in range(world.weeks):
        alone = World(
            world.separation,
            world.skill[:, week : week + 1],
            {name: values[:, week : week + 1] for name, values in world.columns.items()},
        )
        labels = plain_kmeans(alone)
        score = averages_of_logs(alone) @ np.array([1.0, 1.0, -1.0, 1.0])
        order = np.argsort([score[labels == level].mean() for level in LEVELS])
        columns.append(np.argsort(order)[labels])
    return np.stack(columns, axis=1)


def promotions(separation: float, seeds: Iterable[int], levels: int) -> dict[str, Any]:
    """Measure how soon planted promotions show, and how many others rise meanwhile."""
    visible, reached, others = [], [], []
    for seed in seeds:
        world = draw(
            20_000 + seed,
            separation,
            LAST_WEEK,
            promoted_week=PROMOTED_WEEK,
            promoted=PROMOTED,
            levels=levels,
        )
        labels = segment_weeks(observed(world)).standing.labels
        promoted = world.skill[:, -1] > world.skill[:, 0]
        before = labels[:, PROMOTED_WEEK - 1]
        highest = labels[:, PROMOTED_WEEK : PROMOTED_WEEK + VISIBLE_WITHIN].max(axis=1)
        visible.append((highest > before)[promoted].mean())
        reached.append((highest >= world.skill[:, -1])[promoted].mean())
        others.append((highest > before)[~promoted].mean())
    return {
        "separation": separation,
        "levels": levels,
        "seeds": len(visible),
        "visible_within_three_weeks": round(float(np.mean(visible)), 3),
        "at_new_level_within_three_weeks": round(float(np.mean(reached)), 3),
        "others_risen": round(float(np.mean(others)), 3),
    }


def label_swaps(separation: float, weeks: int, tries: int) -> dict[str, Any]:
    """Count models from other seeds and resampled users whose labels are not in order of skill.

    Stricter: those whose groups, by most users in common, match the first model's otherwise. Names
    in order can do that where a border moves far.
    """
    world = draw(30_000, separation, weeks)
    skill = world.skill[:, 0]
    panel = panel_of(observed(world))
    first = likeliest(fit(panel), panel)
    rng = np.random.default_rng(30_000)

    def judged(found_by: Callable[[int], Ints]) -> tuple[int, int]:
        found = [found_by(number) for number in range(tries)]
        swapped = sum(not _ascending(skill, labels) for labels in found)
        return swapped, sum(not _matched(first, labels) for labels in found)

    def resampled(number: int) -> Ints:
        rows = rng.integers(0, len(panel.users), len(panel.users))
        return likeliest(fit(panel.choose([int(row) for row in rows]), seed=number), panel)

    reseeds = judged(lambda number: likeliest(fit(panel, seed=number), panel))
    bootstraps = judged(resampled)
    return {
        "separation": separation,
        "weeks": weeks,
        "reseeds": tries,
        "swapped_by_reseed": reseeds[0],
        "matched_otherwise_by_reseed": reseeds[1],
        "bootstraps": tries,
        "swapped_by_bootstrap": bootstraps[0],
        "matched_otherwise_by_bootstrap": bootstraps[1],
    }


def _ascending(skill: Ints, labels: Ints) -> bool:
    """Tell whether users called by a higher name have more skill on average."""
    means = [skill[labels == level].mean() for level in LEVELS if (labels == level).any()]
    return bool(np.all(np.diff(means) > 0)) and len(means) == len(LEVELS)


def _matched(first: Ints, other: Ints) -> bool:
    """Tell whether the best matching of two sets of labels is each with its own name."""
    counts = np.zeros((len(LEVELS), len(LEVELS)))
    np.add.at(counts, (first, other), 1)
    return bool((linear_sum_assignment(-counts)[1] == LEVELS).all())


def reliability(separation: float, seeds: Iterable[int]) -> dict[str, Any]:
    """Compare what memberships promise after each of six weeks with how often they are right."""
    promised, kept = [], []
    for seed in seeds:
        world = draw(40_000 + seed, separation, max(WEEKS_SEEN))
        standing = segment_weeks(observed(world)).standing
        promised.append(standing.memberships().ravel())
        kept.append((standing.labels == world.skill).ravel())
    p, right = np.concatenate(promised), np.concatenate(kept)
    place = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
    bins = [
        {
            "membership": round(float(p[place == bin_].mean()), 3),
            "right": round(float(right[place == bin_].mean()), 3),
            "user_weeks": int((place == bin_).sum()),
        }
        for bin_ in range(len(BINS) - 1)
        if (place == bin_).any()
    ]
    error = sum(abs(b["membership"] - b["right"]) * b["user_weeks"] for b in bins) / len(p)
    return {"separation": separation, "bins": bins, "expected_error": round(float(error), 3)}
