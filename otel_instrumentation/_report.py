"""Tells the receiver what this process lost, as OpenTelemetry's metrics about SDKs.

Only a process that lost something says anything. The counters are cumulative: a report that
does not arrive costs nothing but time, the next one says it all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from otel_instrumentation import _exporters, _guard, semconv
from otel_instrumentation._counters import Counters, Key
from otel_instrumentation._senders import Answer, Sender
from otel_instrumentation._telemetry import SCOPE_NAME

REPORT_SECONDS: Final = 60.0
"""OpenTelemetry's default for the export of metrics; ``OTEL_METRIC_EXPORT_INTERVAL`` changes it."""

SEND_SECONDS: Final = 2.0
"""How long a report may take: it must not hold up the end of the process."""


class Reporter:
    """Sends a process's counters where metrics go; ``OTEL_METRICS_EXPORTER=none`` keeps them."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._said: dict[Key, int] = {}
        self._resource: Mapping[str, Any] = {}
        self._sender: Sender | None = None

    def renew(self) -> None:
        """Begins anew in a forked process."""
        self._said = {}
        if self._sender is not None:
            self._sender.forget()

    def report(self, resource: Mapping[str, Any]) -> None:
        """Says what was lost, unless that has been said."""
        values = self._counters.values()
        if values == self._said or not self._counters.lost():
            return
        if self._sender is None:
            self._sender = _sender()
        answer = self._sender and self._sender.send(self._encoded(values, resource))
        if answer in {None, Answer.ACCEPTED, Answer.NOT_TAKEN}:
            self._said = values

    def _encoded(self, values: Mapping[Key, int], resource: Mapping[str, Any]) -> bytes:
        # Loaded by the exporters anyway; importing the library must not.
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
            ExportMetricsServiceRequest,
        )
        from opentelemetry.proto.metrics.v1.metrics_pb2 import (  # noqa: PLC0415
            AggregationTemporality,
        )

        request = ExportMetricsServiceRequest()
        group = request.resource_metrics.add()
        named = {semconv.SERVICE_INSTANCE_ID: self._counters.instance, **resource}
        for name, value in named.items():
            group.resource.attributes.add(key=name).value.string_value = str(value)
        scope = group.scope_metrics.add()
        scope.scope.name = SCOPE_NAME
        now = time.time_ns()
        for (name, attributes), value in sorted(values.items()):
            metric = scope.metrics.add(name=name, unit="{record}")
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
            point = metric.sum.data_points.add(
                start_time_unix_nano=self._counters.start_time_unix_nano,
                time_unix_nano=now,
                as_int=value,
            )
            for attribute, text in attributes:
                point.attributes.add(key=attribute).value.string_value = text
        payload: bytes = request.SerializeToString()
        return payload


def period_seconds() -> float:
    """Returns how often a process reports."""
    try:
        millis = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", ""))
    except ValueError:
        return REPORT_SECONDS
    return millis / 1000 if millis > 0 else REPORT_SECONDS


def _sender() -> Sender | None:
    try:
        for named in _exporters.exporters(_exporters.METRICS):
            if named.is_otlp:
                return Sender(_exporters.METRICS, named.build, SEND_SECONDS)
    except Exception as error:
        _guard.swallow("report", error)
    return None
