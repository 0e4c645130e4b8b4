"""Forks wait for calls over gRPC that are under way, and calls for forks.

gRPC prepares itself for a fork, unless some thread is inside a call at that moment; then the
child's copy is broken: its own calls hang, or crash it. A call to a receiver nearby takes
milliseconds. Where one takes longer than a fork may wait, the child sends nothing by itself:
losing telemetry, counted, is better than breaking the program.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from otel_instrumentation import _guard

WAIT_SECONDS: Final = 2.0
"""How long a fork may be held up: many times what a call takes where the receiver answers."""


class ForkGate:
    """Lets either calls or a fork pass."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._calls = 0
        self._forks = 0
        self.is_broken = False
        """Whether this process was forked in the middle of a call."""

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """A call over gRPC."""
        with self._condition:
            while self._forks:
                self._condition.wait(WAIT_SECONDS)
            self._calls += 1
        try:
            yield
        finally:
            with self._condition:
                self._calls -= 1
                self._condition.notify_all()

    def before_fork(self) -> None:
        """Waits for calls to end."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._condition:
            self._forks += 1
            while self._calls and (left := deadline - time.monotonic()) > 0:
                self._condition.wait(left)

    def after_fork_in_parent(self) -> None:
        """Lets calls go on."""
        with self._condition:
            self._forks -= 1
            self._condition.notify_all()

    def after_fork_in_child(self) -> None:
        """Begins anew, knowing whether a call was cut in two."""
        self.is_broken = self.is_broken or self._calls > 0
        self._condition = threading.Condition(threading.Lock())
        self._calls = self._forks = 0
        if self.is_broken:
            _guard.warn_once(
                "fork during a call",
                "This process was forked while its parent was sending: it sends nothing itself."
                " OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf has no such moments",
            )


gate: Final = ForkGate()
"""The gate of this process."""


def fork_aware(build: Callable[[], Any]) -> Callable[[], Any]:
    """Makes exporters whose calls over gRPC respect forks; others stay as they are."""

    def build_aware() -> Any:
        exporter = build()
        connect = getattr(exporter, "_initialize_channel_and_stub", None)
        if connect is None:
            return exporter

        def connect_aware() -> None:
            connect()
            exporter._client = _AwareStub(exporter._client)

        # The exporter connects again by itself after some errors.
        exporter._initialize_channel_and_stub = connect_aware
        exporter._client = _AwareStub(exporter._client)
        return exporter

    return build_aware


class _AwareStub:
    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def Export(self, *args: Any, **options: Any) -> Any:  # noqa: N802 - the service's name
        with gate.call():
            return self._stub.Export(*args, **options)


def speaks_grpc(exporter: Any) -> bool:
    """Says whether an exporter of the SDK calls over gRPC."""
    return hasattr(exporter, "_initialize_channel_and_stub")
