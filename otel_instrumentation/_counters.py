"""How much telemetry of this process was handed over, and how much was lost, and why.

The names are OpenTelemetry's own for what an SDK says about itself: a processor has
*processed* what left its queue, an exporter has *exported* what it sent; with ``error.type``
both mean a loss. The SDK's processors count through :class:`CountingMeterProvider`; exporting
and the spool are counted here, because the SDK also calls an export that was broken off a
success, and does not count one that raised.

A forked process starts at zero under an identity of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.metrics import (
    CallbackOptions,
    CallbackT,
    Counter,
    Meter,
    MeterProvider,
    NoOpCounter,
    NoOpMeter,
    NoOpObservableUpDownCounter,
    ObservableUpDownCounter,
)

from otel_instrumentation import _identifiers, semconv

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a counter and its attributes, sorted."""


class Counters:
    """Counters of one process, safe to use from many threads."""

    def __init__(self) -> None:
        self._values: dict[Key, int] = {}
        self.renew()

    def renew(self) -> None:
        """Starts again at zero: the process was forked."""
        # The lock may have been held by a thread that the child does not have.
        self._lock = threading.Lock()
        self._values = {}
        self.start_time_unix_nano = time.time_ns()
        self.instance = _identifiers.hex_id()

    def add(self, name: str, amount: float, attributes: Mapping[str, Any]) -> None:
        """Adds to the counter of a name and attributes."""
        key = (name, tuple(sorted((each, str(value)) for each, value in attributes.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + int(amount)

    def lost(self) -> int:
        """Returns how many spans and log records were lost."""
        return sum(
            value
            for (_, attributes), value in self.values().items()
            if semconv.ERROR_TYPE in dict(attributes)
        )

    def values(self) -> dict[Key, int]:
        """Returns all counters as they are now."""
        with self._lock:
            return dict(self._values)


counters: Final = Counters()
"""The counters of this process."""


def count_exported(signal: str, component: str, amount: int, error_type: str = "") -> None:
    """Counts what an exporter sent, or with an error type lost."""
    attributes = {semconv.SDK_COMPONENT_NAME: component}
    if error_type:
        attributes[semconv.ERROR_TYPE] = error_type
    counters.add(semconv.SDK_EXPORTED[signal], amount, attributes)


def count_unprocessed(signal: str, amount: int, error_type: str) -> None:
    """Counts what never left the SDK's queue."""
    counters.add(
        semconv.SDK_PROCESSED[signal],
        amount,
        {
            semconv.SDK_COMPONENT_NAME: f"batching_{signal}_processor",
            semconv.ERROR_TYPE: error_type,
        },
    )


class _Counter(NoOpCounter):
    def __init__(self, name: str, also: Counter | None) -> None:
        super().__init__(name)
        self._name = name
        self._also = also

    def add(
        self,
        amount: float,
        attributes: Mapping[str, Any] | None = None,
        context: Any = None,
    ) -> None:
        counters.add(self._name, amount, attributes or {})
        if self._also is not None:
            self._also.add(amount, attributes, context)


class _Meter(NoOpMeter):
    def __init__(self, also: Meter | None, queues: list[Any]) -> None:
        super().__init__("otel_instrumentation")
        self._also = also
        self._queues = queues

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        also = self._also and self._also.create_counter(name, unit, description)
        return _Counter(name, also or None)

    def create_observable_up_down_counter(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableUpDownCounter:
        self._queues += callbacks or ()
        if self._also is not None:
            self._also.create_observable_up_down_counter(name, callbacks, unit, description)
        return NoOpObservableUpDownCounter(name, callbacks, unit, description)


class CountingMeterProvider(MeterProvider):
    """What the SDK's processors count with: a few numbers, no pipeline of metrics.

    Args:
        also: A provider that gets everything too: the program's, where it asked for the SDK's
            internal metrics.
    """

    def __init__(self, also: MeterProvider | None = None) -> None:
        self._also = also
        self._queues: list[Callable[[CallbackOptions], Any]] = []

    def queued(self) -> int:
        """Returns how many records wait in the queues of the processors it was given to."""
        options = CallbackOptions()
        return sum(int(each.value) for callback in self._queues for each in callback(options))

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Meter:
        """Returns a meter whose counters count here."""
        also = self._also
        meter = also.get_meter(name, version, schema_url, attributes) if also else None
        return _Meter(meter, self._queues)
