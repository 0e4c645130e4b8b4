"""Running analyses: one at a time, watched while they run, recorded whatever becomes of them."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from analyzer_service.analysis.rules import (
    RuleSet,
    load_rule_set,
    parse_rule_set,
    shipped_rule_sets,
)
from analyzer_service.analysis.segmentation import Preset
from analyzer_service.clock import Clock
from analyzer_service.domain import Analysis, AnalysisRequest, AnalysisStatus
from analyzer_service.errors import AnalyzerError, BusyError, InvalidInputError
from analyzer_service.following import Following
from analyzer_service.run import choose_window, run_analysis
from analyzer_service.store.connect import Store
from analyzer_service.store.reader import Reader
from analyzer_service.store.results import ResultWriter
from analyzer_service.store.settling import Settlement, settle, settle_again

LOGGER = logging.getLogger(__name__)

WATCH_SECONDS: Final = 1.0
"""A watcher looks again after this long even if nobody told it of a change."""


class Runner:
    """Runs analyses over a store; settling and results have one writer, so one runs at a time."""

    def __init__(
        self, store: Store, clock: Clock, *, stages: Sequence[str], following: Following
    ) -> None:
        """Work on an open store; analyses that a stopped service left behind are failed."""
        self._store = store
        self._clock = clock
        self._stages = tuple(stages)
        self._following = following
        self._reader = Reader(store)
        self._results = ResultWriter(store)
        self._busy = threading.Lock()
        self._settling = threading.Lock()
        self._changed = threading.Condition()
        self._live: dict[str, Analysis] = {}
        self._worker: threading.Thread | None = None
        self._fail_orphans()

    def start(self, request: AnalysisRequest) -> Analysis:
        """Begin an analysis in a thread of its own and return it as it stands."""
        begun = self._begin(request)
        self._worker = threading.Thread(
            target=self._run_quietly, args=begun, name="analysis", daemon=True
        )
        self._worker.start()
        return begun[0]

    def run(self, request: AnalysisRequest) -> Analysis:
        """Analyse to the end in this thread."""
        return self._run(*self._begin(request))

    def settle(self) -> Settlement:
        """Settle what has arrived."""
        with self._settling:
            return settle(self._store, self._clock, stages=self._stages)

    def settle_again(self, days: Sequence[date]) -> int:
        """Settle some event days once more; returns how many were."""
        with self._settling:
            return settle_again(self._store, self._clock, days, stages=self._stages)

    def live(self, analysis_id: str) -> Analysis | None:
        """Return an analysis that has not ended, as it stands this moment."""
        return self._live.get(analysis_id)

    def wait_for_change(self, seen: Analysis) -> None:
        """Return when an analysis no longer stands as seen, or after a second."""
        with self._changed:
            if self._live.get(seen.analysis_id) == seen:
                self._changed.wait(WATCH_SECONDS)

    def finish(self) -> None:
        """Wait for the analysis that runs, if one does."""
        if self._worker is not None:
            self._worker.join()

    def _begin(self, request: AnalysisRequest) -> tuple[Analysis, AnalysisRequest, RuleSet, Preset]:
        """Check a request and take the lock that ``_run`` gives back."""
        rule_set, preset = _check(request)
        if not self._busy.acquire(blocking=False):
            raise BusyError(hint="Watch it, or try again when it has ended.")
        try:
            return self._record(_new(rule_set, preset, self._clock)), request, rule_set, preset
        except BaseException:
            self._busy.release()
            raise

    def _run_quietly(
        self, analysis: Analysis, request: AnalysisRequest, rule_set: RuleSet, preset: Preset
    ) -> None:
        try:
            self._run(analysis, request, rule_set, preset)
        except AnalyzerError as error:
            LOGGER.warning("analysis %s failed: %s", analysis.analysis_id, error)
        except Exception:
            LOGGER.exception("analysis %s failed", analysis.analysis_id)

    def _run(
        self, analysis: Analysis, request: AnalysisRequest, rule_set: RuleSet, preset: Preset
    ) -> Analysis:
        try:
            return self._analyse(analysis, request, rule_set, preset)
        except BaseException as error:
            ours = (
                error if isinstance(error, AnalyzerError) else AnalyzerError(type(error).__name__)
            )
            failed = replace(analysis, status=AnalysisStatus.FAILED)
            self._record(replace(failed, error=str(ours), reason=ours.reason))
            raise
        finally:
            self._live.pop(analysis.analysis_id, None)
            self._busy.release()

    def _analyse(
        self, analysis: Analysis, request: AnalysisRequest, rule_set: RuleSet, preset: Preset
    ) -> Analysis:
        running = replace(analysis, status=AnalysisStatus.RUNNING)
        self._record(replace(running, phase="settling"))
        settlement = self.settle()
        window = choose_window(request, self._reader.newest_settled_day())
        running = replace(running, window=window, known_at=settlement.known_at)
        findings = run_analysis(
            self._reader,
            self._results,
            analysis_id=running.analysis_id,
            window=window,
            known_at=settlement.known_at,
            rule_set=rule_set,
            preset=preset,
            phase=lambda phase: self._record(replace(running, phase=phase)),
        )
        self._record(replace(running, phase="interventions"))
        self._following.compare(running.analysis_id, window)
        return self._record(
            replace(
                running,
                status=AnalysisStatus.SUCCEEDED,
                rated=findings.rated,
                unrated=findings.unrated,
                segment_sizes=findings.segment_sizes,
                challenges=findings.challenges,
            )
        )

    def _record(self, analysis: Analysis) -> Analysis:
        """Store how an analysis stands and tell its watchers."""
        stamped = replace(analysis, updated_time=self._clock.now())
        self._results.analysis(stamped)
        with self._changed:
            self._live[stamped.analysis_id] = stamped
            self._changed.notify_all()
        return stamped

    def _fail_orphans(self) -> None:
        """An analysis that a stopped service left unfinished will never finish."""
        for analysis in self._reader.unfinished_analyses():
            stopped = AnalyzerError("The service stopped before the analysis ended.")
            failed = replace(analysis, status=AnalysisStatus.FAILED, updated_time=self._clock.now())
            self._results.analysis(replace(failed, error=str(stopped), reason=stopped.reason))


def _check(request: AnalysisRequest) -> tuple[RuleSet, Preset]:
    if request.rule_set_yaml:
        return parse_rule_set(request.rule_set_yaml, request.rule_set), Preset.named(request.preset)
    # Only names: a caller from elsewhere must not have the service read a file of its choice.
    if request.rule_set not in shipped_rule_sets():
        raise InvalidInputError(
            f"There is no rule set {request.rule_set!r}.",
            field="rule_set",
            hint=f"Shipped are {', '.join(shipped_rule_sets())}; send one of your own as YAML.",
        )
    return load_rule_set(request.rule_set), Preset.named(request.preset)


def _new(rule_set: RuleSet, preset: Preset, clock: Clock) -> Analysis:
    now = clock.now()
    return Analysis(
        analysis_id=f"an-{uuid.uuid4().hex[:16]}",
        status=AnalysisStatus.PENDING,
        created_time=now,
        updated_time=now,
        window=None,
        known_at=None,
        rule_set=rule_set.name,
        rule_set_version=str(rule_set.version),
        preset=preset.value,
        rated=0,
        unrated=0,
        segment_sizes={},
        challenges=0,
        error="",
    )
