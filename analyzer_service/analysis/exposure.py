"""Attempts and failures per user as arrays: who had how many chances, and how many went wrong.

Users of a segment with the same attempts and failures are one number, so that the size of what is
judged follows the variety of users and not their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analyzer_service.analysis.features import Floats
from analyzer_service.domain import RATED_SEGMENTS, SignalCounts

MOST_ATTEMPTS = 256
"""More attempts of one user are scaled down to this: who is affected is plain long before, and no
single user should decide what counts as noise."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Exposure:
    """Users of a run by signal, segment, attempts and failures."""

    attempts: Floats
    failures: Floats
    """Per distinct pair: what one user did."""
    users: tuple[sparse.csr_matrix, ...]
    """Per segment, in the order of ``RATED_SEGMENTS``: users by signal and pair."""

    @property
    def signals(self) -> int:
        """How many signals there are."""
        return int(self.users[0].shape[0])

    def pair(self, attempts: int, failures: int) -> int:
        """Return the place of what one user did."""
        n, f = _scaled(np.array([attempts]), np.array([failures]))
        return int(np.flatnonzero((self.attempts == n) & (self.failures == f))[0])

    def some(self, rows: Ints) -> Exposure:
        """Return the same for some of the signals, with the pairs that occur in them."""
        users = [users[rows] for users in self.users]
        pairs = np.flatnonzero(sum(u.getnnz(axis=0) for u in users))
        return Exposure(
            self.attempts[pairs], self.failures[pairs], tuple(u[:, pairs] for u in users)
        )


def exposure_of(counts: Sequence[SignalCounts]) -> Exposure:
    """Return the exposure of signals, one row each.

    Args:
        counts: of one period per signal, with their attempts.
    """
    columns: tuple[list[int], ...] = ([], [], [], [], [])
    for row, signal in enumerate(counts):
        for segment, users_of in enumerate(RATED_SEGMENTS):
            for cell in signal.attempts.get(users_of, ()):
                value = (row, segment, cell.attempts, cell.failures, cell.users)
                for column, number in zip(columns, value, strict=True):
                    column.append(number)
    signal_, segment_, attempts, failures, users = (np.array(c, dtype=np.int64) for c in columns)
    return exposure_from_columns(signal_, segment_, attempts, failures, users, signals=len(counts))


def exposure_from_columns(
    signal: Ints, segment: Ints, attempts: Ints, failures: Ints, users: Ints, *, signals: int
) -> Exposure:
    """Return the exposure of columns of one length; failures beyond the attempts are attempts."""
    attempts, failures = _scaled(attempts, failures)
    code, place = np.unique(attempts * (MOST_ATTEMPTS + 1) + failures, return_inverse=True)
    matrices = []
    for number in range(len(RATED_SEGMENTS)):
        own = segment == number
        matrices.append(
            sparse.csr_matrix(
                (users[own].astype(np.float64), (signal[own], place[own])),
                shape=(signals, len(code)),
            )
        )
    return Exposure(
        (code // (MOST_ATTEMPTS + 1)).astype(np.float64),
        (code % (MOST_ATTEMPTS + 1)).astype(np.float64),
        tuple(matrices),
    )


def _scaled(attempts: Ints, failures: Ints) -> tuple[Ints, Ints]:
    attempts = np.maximum(attempts, failures)
    scale = np.minimum(1.0, MOST_ATTEMPTS / np.maximum(attempts, 1))
    return np.minimum(attempts, MOST_ATTEMPTS), np.rint(failures * scale).astype(np.int64)
