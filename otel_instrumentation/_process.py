"""The telemetry of this process from its start to its end, forks included."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, trace

from otel_instrumentation import _exporters, _guard
from otel_instrumentation._counters import counters
from otel_instrumentation._exit import EXIT_SECONDS, Ending
from otel_instrumentation._exporters import NamedExporter
from otel_instrumentation._forks import gate
from otel_instrumentation._pipeline import Pipeline
from otel_instrumentation._report import Reporter, period_seconds


class ProcessTelemetry:
    """What this library set up in this process, and has to bring to an end.

    Args:
        flush: Sends what all providers of the process hold.
    """

    def __init__(self, flush: Callable[[float], object]) -> None:
        self._flush = flush
        self._pipelines: list[Pipeline] = []
        self._shutdowns: list[Callable[[], object]] = []
        self._reporter = Reporter(counters)
        self._ending = Ending(
            flush=self._flush_and_report,
            close=self.close,
            give_up=self._give_up,
            periodically=self._report,
            period_seconds=period_seconds(),
        )

    def start(self) -> None:
        """Begins to watch for forks and for the end of the process."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=gate.before_fork,
                after_in_parent=gate.after_fork_in_parent,
                after_in_child=self._after_fork,
            )
        self._ending.start()

    def processors(self, signal: str) -> list[Any]:
        """Builds the processors of a signal, one for each exporter the environment names."""
        built = [self._add(signal, named) for named in _exporters.exporters(signal)]
        return [processor for processor in built if processor is not None]

    def processor_for(self, signal: str, exporter: Any) -> Any:
        """Builds the processor for an exporter that somebody else has built."""
        named = _exporters.of_class(signal, type(exporter))
        return self._add(signal, named, exporter)

    def own(self, shutdown: Callable[[], object]) -> None:
        """Takes on the duty to shut a provider down."""
        self._shutdowns.append(shutdown)

    def close(self) -> None:
        """Shuts down what was set up here, for the last time."""
        shutdowns, self._shutdowns = self._shutdowns, []
        for shutdown in shutdowns:
            try:
                shutdown()
            except Exception as error:
                _guard.swallow("shutdown", error)
        pipelines, self._pipelines = self._pipelines, []
        left = sum(pipeline.count_left() for pipeline in pipelines)
        if left:
            _guard.logger.warning("%d spans and log records were never sent and are lost", left)
        if shutdowns:
            self._report()

    def _add(self, signal: str, named: NamedExporter, built: Any = None) -> Any:
        try:
            pipeline = Pipeline(signal, named, built)
        except Exception as error:
            _guard.swallow(f"exporter {named.name} for {signal}", error)
            return None
        self._pipelines.append(pipeline)
        return pipeline.processor

    def _flush_and_report(self) -> None:
        self._flush(EXIT_SECONDS)
        self._report()

    def _report(self) -> None:
        resource = getattr(trace.get_tracer_provider(), "resource", None) or getattr(
            _logs.get_logger_provider(), "resource", None
        )
        self._reporter.report(dict(resource.attributes) if resource is not None else {})

    def _give_up(self) -> None:
        for pipeline in tuple(self._pipelines):
            try:
                pipeline.give_up()
            except Exception as error:
                _guard.swallow("exit", error)

    def _after_fork(self) -> None:
        try:
            gate.after_fork_in_child()
            counters.renew()
            self._reporter.renew()
            for pipeline in self._pipelines:
                pipeline.renew()
            self._ending.renew()
        except Exception as error:
            _guard.swallow("fork", error)
