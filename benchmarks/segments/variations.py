"""Worlds that differ from the reference, so that nothing tuned to it goes unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from analyzer_service.analysis.weekly_segments import segment_weeks
from benchmarks.segments.judged import observed
from benchmarks.segments.worlds import World, draw, oracle

WEEKS = 6
Change = Callable[[World, np.random.Generator], World]


def _as_it_is(world: World, _: np.random.Generator) -> World:
    return world


def _habits(world: World, rng: np.random.Generator) -> World:
    """Give users a lasting volume and length of session of their own, unrelated to skill."""
    users = len(world.skill)
    columns = dict(world.columns)
    for name in ("actions", "minutes_per_session"):
        columns[name] = columns[name] * np.exp(rng.normal(0, 0.5, users))[:, None]
    return replace(world, columns={**columns, "actions": columns["actions"].round()})


def _scripts(world: World, rng: np.random.Generator) -> World:
    """Let two users in a hundred run scripts: a thousand times the actions."""
    loud = rng.random(len(world.skill)) < 0.02
    actions = np.where(loud[:, None], 1000 * world.columns["actions"], world.columns["actions"])
    return replace(world, columns={**world.columns, "actions": actions})


def _gaps(world: World, rng: np.random.Generator) -> World:
    """Leave a fifth of the weeks inactive, and a third of the others without a completed task."""
    away = rng.random(world.skill.shape) < 0.2
    unfinished = away | (rng.random(world.skill.shape) < 1 / 3)
    columns = dict(world.columns)
    for name in ("actions", "distinct_actions"):
        columns[name] = np.where(away, 0.0, columns[name])
    columns["completion_seconds"] = np.where(unfinished, np.nan, columns["completion_seconds"])
    columns["minutes_per_session"] = np.where(away, np.nan, columns["minutes_per_session"])
    return replace(world, columns=columns)


VARIATIONS: dict[str, tuple[tuple[int, int, int], Change]] = {
    "even sizes": ((131, 131, 131), _as_it_is),
    "mostly experts": ((60, 113, 220), _as_it_is),
    "a quarter of the users": ((48, 30, 21), _as_it_is),
    "2,000 users": ((967, 601, 432), _as_it_is),
    "lasting habits": ((190, 118, 85), _habits),
    "scripts": ((190, 118, 85), _scripts),
    "gaps": ((190, 118, 85), _gaps),
}


def varied(name: str, seeds: Iterable[int], separation: float = 1.0) -> dict[str, Any]:
    """Compare partitions after six weeks; the oracle sees the world before it was changed."""
    sizes, change = VARIATIONS[name]
    ours, best = [], []
    for seed in seeds:
        world = draw(50_000 + seed, separation, WEEKS, sizes=sizes)
        changed = change(world, np.random.default_rng(60_000 + seed))
        truth = world.skill[:, 0]
        labels = segment_weeks(observed(changed)).standing.labels[:, -1]
        ours.append(adjusted_rand_score(truth, labels))
        best.append(adjusted_rand_score(truth, oracle(world)))
    return {
        "world": name,
        "separation": separation,
        "weeks": WEEKS,
        "oracle": round(float(np.mean(best)), 3),
        "ours": round(float(np.mean(ours)), 3),
    }
