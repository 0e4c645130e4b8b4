"""What a failed OTLP call means: try again and when, or never."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

FIRST_PAUSE_SECONDS: Final = 0.1
"""A receiver that merges requests has usually made room after one insert."""

LONGEST_PAUSE_SECONDS: Final = 5.0
"""Long enough not to press a receiver that starts up, short enough to notice it is back."""

JITTER_RATIO: Final = 0.3
"""Pauses vary by this share, so that several senders do not come back at once."""

_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
# Codes gRPC itself makes up where nobody answers.
_MAYBE_NOBODY: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)
_NOT_ALLOWED: Final = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
)
_DETAILS: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Answer:
    """A failed call, understood.

    Attributes:
        code: Name of the gRPC status.
        message: What the receiver, or gRPC in its place, said.
        retry: Whether the same request may succeed later.
        retry_after_seconds: The receiver's own wish, if it had one.
        from_receiver: Whether a receiver certainly spoke, rather than gRPC in its place.
    """

    code: str
    message: str
    retry: bool
    retry_after_seconds: float | None
    from_receiver: bool

    @property
    def unauthenticated(self) -> bool:
        """Whether the receiver wants other headers."""
        return self.code in {code.name for code in _NOT_ALLOWED}

    @property
    def no_receiver(self) -> bool:
        """Whether what answered does not know OTLP."""
        return self.code == grpc.StatusCode.UNIMPLEMENTED.name


def classify(error: grpc.RpcError) -> Answer:
    """Understand a failed call as the OTLP specification does.

    RESOURCE_EXHAUSTED is worth another attempt only where the receiver says when.
    """
    code = error.code()
    wish = _retry_delay_seconds(error)
    exhausted = code is grpc.StatusCode.RESOURCE_EXHAUSTED and wish is not None
    return Answer(
        code=code.name,
        message=error.details() or code.name,
        retry=code in _RETRYABLE or exhausted,
        retry_after_seconds=wish,
        from_receiver=code not in _MAYBE_NOBODY or wish is not None,
    )


def _retry_delay_seconds(error: grpc.RpcError) -> float | None:
    for metadatum in error.trailing_metadata() or ():
        if metadatum.key != _DETAILS:
            continue
        try:
            details = Status.FromString(metadatum.value).details
        except DecodeError:
            return None
        info = RetryInfo()
        for detail in details:
            if detail.Unpack(info):
                return float(info.retry_delay.ToTimedelta().total_seconds())
    return None


class Pause:
    """Growing pauses between the attempts of one request."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._seconds = FIRST_PAUSE_SECONDS

    def next_seconds(self, wish: float | None = None) -> float:
        """Return the next pause: the receiver's wish, or our own, twice the last one."""
        seconds, self._seconds = self._seconds, min(self._seconds * 2, LONGEST_PAUSE_SECONDS)
        jitter = 1 + self._random.uniform(-JITTER_RATIO, JITTER_RATIO)
        return seconds * jitter if wish is None else wish
