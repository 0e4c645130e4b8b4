"""An upper bound on how long telemetry may hold up the end of a program."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

from otel_instrumentation import _guard

EXIT_SECONDS: Final = 5.0
"""Long enough to hand a full queue to a receiver nearby; short enough for a person to wait.

The SDK alone would retry for ten seconds for each signal.
"""


class ExitWatch(threading.Thread):
    """Stops exporters that are still trying when the time at exit is up.

    It waits from the start of the process, because newer Pythons refuse to start threads while
    they end. A forked child has no such thread and waits as long as the SDK does.
    """

    def __init__(self, exporters: Sequence[Any], seconds: float = EXIT_SECONDS) -> None:
        super().__init__(name="otel-instrumentation-exit", daemon=True)
        self._exporters = exporters
        self._seconds = seconds
        self._begun = threading.Event()
        self._ended = threading.Event()

    def begin(self) -> None:
        """Starts the clock: the program is ending."""
        self._begun.set()

    def end(self) -> None:
        """Stops the clock: everything was sent."""
        self._ended.set()
        self._begun.set()

    def run(self) -> None:
        """Waits for the end of the program and bounds it."""
        self._begun.wait()
        if self._ended.wait(self._seconds):
            return
        _guard.logger.warning(
            "Telemetry could not be sent within %g seconds of the program's end", self._seconds
        )
        for exporter in self._exporters:
            try:
                exporter.shutdown()
            except Exception as error:
                _guard.swallow("exit", error)
