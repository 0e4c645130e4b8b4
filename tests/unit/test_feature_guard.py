"""Which features may not make segments, and the reason given."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer_service.analysis.feature_guard import Candidate, Refusal, admit, refusal
from analyzer_service.analysis.panel import FEATURES
from analyzer_service.errors import InvalidInputError

USERS, WEEKS = 60, 4
AFFECTED = np.arange(USERS) < 20
ACTIVE = np.ones((USERS, WEEKS), dtype=bool)


def candidate(name: str, values: np.ndarray, *, told: bool = True) -> Candidate:
    return Candidate(name, values, ACTIVE, AFFECTED if told else None)


def plain() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(USERS, WEEKS))


@pytest.mark.parametrize("name", [*FEATURES, "sessions", "key_share", "models_trained"])
def test_features_of_actions_and_time_come_in(name: str) -> None:
    assert refusal(candidate(name, plain())) is None
    admit(candidate(name, plain()))


@pytest.mark.parametrize(
    "name", ["errors", "failed_attempts", "Redundant_Actions", "retries", "exception_count"]
)
def test_outcomes_stay_out_by_name(name: str) -> None:
    assert refusal(candidate(name, plain())) is Refusal.LOOKS_INTO_OUTCOME


def test_what_is_empty_when_users_are_placed_stays_out() -> None:
    late = plain()
    late[:, -1] = np.nan
    assert refusal(candidate("rating", late)) is Refusal.EMPTY_AT_PREDICTION
    some = plain()
    some[: USERS // 3] = np.nan
    assert refusal(candidate("rating", some)) is None


def test_what_gives_the_answer_away_stays_out() -> None:
    telling = plain()
    telling[AFFECTED, -1] += 10
    assert refusal(candidate("support_calls", telling)) is Refusal.GIVES_ANSWER_AWAY
    assert refusal(candidate("support_calls", -telling)) is Refusal.GIVES_ANSWER_AWAY
    assert refusal(candidate("support_calls", telling, told=False)) is None
    hint = plain()
    hint[AFFECTED, -1] += 1
    assert refusal(candidate("support_calls", hint)) is None, "a hint is what features are for"


def test_the_refusal_names_feature_and_reason() -> None:
    with pytest.raises(InvalidInputError, match="'errors' looks into the outcome") as raised:
        admit(candidate("errors", plain()))
    assert raised.value.field == "errors"
