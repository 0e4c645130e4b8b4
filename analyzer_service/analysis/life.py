"""The life of a challenge, folded from what runs and people said of its place.

Nothing here is stored: reviews and results are, and never change, so the life as of any moment is
the fold of what was there at that moment. A backtest folds less of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import Final

from analyzer_service.analysis.challenges import place_id
from analyzer_service.domain import ChallengeKind, Grade, SignalId
from analyzer_service.lives import (
    Effect,
    Leaning,
    Life,
    LifeState,
    Review,
    ReviewKind,
    Sighting,
)

HYSTERESIS: Final = timedelta(days=7)
"""How far apart two window ends must be, both saying the same, before a life follows: a week, so
that every weekday was seen again; daily runs over the same four weeks are hardly two opinions."""

FORGOTTEN: Final = timedelta(days=28)
"""Without an intervention, how long a challenge is unseen before it counts as resolved: a whole
default window that shares no day with the last one that showed it."""

NO_EFFECT_AFTER: Final = timedelta(days=28)
"""How long an intervention may take to show before the challenge is open again: one default
window that lies after it altogether."""

SEEN: Final = frozenset({Grade.LITERAL, Grade.POSSIBLE, Grade.PROBABLE, Grade.CONFIRMED})
"""Grades that report a challenge; an insufficient one neither shows it nor shows it gone."""

ENDED: Final = frozenset({LifeState.RESOLVED, LifeState.DISMISSED})
WATCHED: Final = frozenset({LifeState.INTERVENTION, LifeState.VERIFYING})


def live(signal: SignalId, events: Iterable[Sighting | Review]) -> Life | None:
    """Fold everything said of one place into how it stands.

    Args:
        signal: The place.
        events: Sightings, one per run and in the order of their window ends, and reviews, each
            before the first run that could know of it.

    Returns:
        None until a run has reported it. What people said earlier holds from then on: they may
        have met it through another rule set.
    """
    life: Life | None = None
    earlier: list[Review] = []
    for event in events:
        if isinstance(event, Sighting):
            life = seen(life, event, signal)
            if life is not None and earlier:
                # The run that first reports it may already see what came of an intervention.
                life = _verifying(reduce(reviewed, earlier, life), event)
                earlier.clear()
        elif life is None:
            earlier.append(event)
        else:
            life = reviewed(life, event)
    return life


def seen(life: Life | None, sighting: Sighting, signal: SignalId) -> Life | None:
    """Return the life after one more run."""
    if sighting.grade is Grade.INSUFFICIENT:
        return life
    reported = sighting.kind if sighting.grade in SEEN else None
    if life is None:
        return _born(signal, sighting, reported) if reported else None
    life = _verifying(life, sighting)
    if reported is None:
        return _unseen(life, sighting)
    life = replace(
        life, last_seen=sighting.window_end, runs=life.runs + 1, challenge_id=sighting.challenge_id
    )
    return _again(life, sighting, reported)


def reviewed(life: Life, review: Review) -> Life:
    """Return the life after a person said something of it."""
    said = f"{review.reviewer}: {review.comment}" if review.comment else review.reviewer
    match review.kind:
        case ReviewKind.COMMENT:
            return life
        case ReviewKind.CONFIRM | ReviewKind.ACKNOWLEDGE:
            confirmed = life.confirmed or review.kind is ReviewKind.CONFIRM
            life = replace(life, confirmed=confirmed)
            if life.state not in {LifeState.OPEN, LifeState.REGRESSED}:
                return life
            return _enter(life, LifeState.ACKNOWLEDGED, review, f"acknowledged by {said}")
        case ReviewKind.DISMISS:
            return _enter(
                replace(life, confirmed=False),
                LifeState.DISMISSED,
                review,
                f"dismissed by {said}",
            )
        case ReviewKind.REOPEN:
            return _enter(life, LifeState.OPEN, review, f"reopened by {said}")
        case ReviewKind.INTERVENE:
            begun = replace(life, intervention=review, comparison=None)
            return _enter(begun, LifeState.INTERVENTION, review, f"intervention by {said}")


def _born(signal: SignalId, sighting: Sighting, kind: ChallengeKind) -> Life:
    return Life(
        place_id=place_id(signal),
        signal=signal,
        kind=kind,
        state=LifeState.OPEN,
        since=sighting.window_end,
        cause="first reported",
        first_seen=sighting.window_end,
        last_seen=sighting.window_end,
        runs=1,
        challenge_id=sighting.challenge_id,
    )


def _enter(life: Life, state: LifeState, event: Sighting | Review, cause: str) -> Life:
    moment = event.review_time if isinstance(event, Review) else event.window_end
    return replace(life, state=state, since=moment, cause=cause, leaning=None)


def _verifying(life: Life, sighting: Sighting) -> Life:
    """Note what the run found of an intervention; one without effect is over after a window."""
    done = life.intervention
    if life.state not in WATCHED or done is None or done.effective_time is None:
        return life
    if sighting.window_end <= done.effective_time:
        return life
    if life.state is LifeState.INTERVENTION:
        life = _enter(life, LifeState.VERIFYING, sighting, "the time after it is being watched")
    life = replace(life, comparison=sighting.comparison or life.comparison)
    over = sighting.window_end - done.effective_time >= NO_EFFECT_AFTER
    if over and life.comparison and life.comparison.effect is not Effect.BETTER:
        word = str(life.comparison.effect).replace("_", " ")
        return _enter(life, LifeState.OPEN, sighting, f"the intervention showed: {word}")
    return life


def _leans(life: Life, sighting: Sighting, towards: ChallengeKind | None) -> Life:
    if life.leaning is not None and life.leaning.towards == towards:
        return life
    return replace(life, leaning=Leaning(towards, sighting.window_end))


def _for_long(life: Life, sighting: Sighting, span: timedelta) -> bool:
    return life.leaning is not None and sighting.window_end - life.leaning.since >= span


def _unseen(life: Life, sighting: Sighting) -> Life:
    if life.state in ENDED:
        return replace(life, leaning=None)
    life = _leans(life, sighting, None)
    if life.state is LifeState.INTERVENTION:
        return life
    if life.state is LifeState.VERIFYING:
        better = life.comparison is not None and life.comparison.effect is Effect.BETTER
        if better and _for_long(life, sighting, HYSTERESIS):
            return _enter(life, LifeState.RESOLVED, sighting, "better since the intervention")
        return life
    if sighting.window_end - life.last_seen >= FORGOTTEN and _for_long(life, sighting, HYSTERESIS):
        return _enter(life, LifeState.RESOLVED, sighting, "not seen for a whole window")
    return life


def _again(life: Life, sighting: Sighting, kind: ChallengeKind) -> Life:
    if life.state is LifeState.DISMISSED:
        return replace(life, leaning=None)
    if life.state is LifeState.RESOLVED:
        # Whatever it is called now, it is back.
        life = _leans(life, sighting, life.kind)
        if _for_long(life, sighting, HYSTERESIS):
            back = replace(life, kind=kind, comparison=None)
            return _enter(back, LifeState.REGRESSED, sighting, "reported again")
        return life
    if kind is life.kind:
        return replace(life, leaning=None)
    life = _leans(life, sighting, kind)
    if _for_long(life, sighting, HYSTERESIS):
        return replace(life, kind=kind, leaning=None)
    return life
