"""Analyses on an interval, never two at once, none where nothing has arrived."""

from __future__ import annotations

import logging
import threading

from analyzer_service.analyzer import Analyzer
from analyzer_service.domain import AnalysisRequest
from analyzer_service.errors import AnalyzerError, BusyError, NothingToAnalyzeError
from analyzer_service.store.values import EPOCH

LOGGER = logging.getLogger(__name__)


class Scheduler:
    """Settles what has arrived and analyses again when that touched any day."""

    def __init__(
        self, analyzer: Analyzer, request: AnalysisRequest, *, interval_seconds: float
    ) -> None:
        """Run ``request`` every ``interval_seconds``, counted from the end of the last run."""
        self._analyzer = analyzer
        self._request = request
        self._interval_seconds = interval_seconds
        self._known_at = EPOCH
        self._due = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin; the first run comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """End after the run in progress, if there is one."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self) -> bool:
        """Do one round; returns whether an analysis ran.

        What goes wrong is logged and the next round tries again: settled or not, an analysis stays
        due until it has succeeded, also where another one settled what had arrived.
        """
        try:
            settlement = self._analyzer.settle()
            self._due |= bool(settlement.days) or settlement.known_at != self._known_at
            if not self._due:
                return False
            self._analyzer.run(self._request)
            self._known_at, self._due = settlement.known_at, False
        except BusyError:
            return False
        except NothingToAnalyzeError:
            LOGGER.debug("nothing to analyse yet")
            return False
        except AnalyzerError as error:
            LOGGER.warning("scheduled analysis failed: %s", error)
            return False
        except Exception:
            LOGGER.exception("scheduled analysis failed")
            return False
        return True

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self.tick()
