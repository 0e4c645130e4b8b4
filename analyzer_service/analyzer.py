"""The application: run analyses, read what they found, answer questions about the store."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from analyzer_service.analysis.rules import (
    RuleSet,
    load_rule_set,
    parse_rule_set,
    shipped_rule_sets,
)
from analyzer_service.analysis.segmentation import Preset
from analyzer_service.clock import Clock
from analyzer_service.domain import (
    Analysis,
    AnalysisRequest,
    AnalysisStatus,
    Challenge,
    ChallengeKind,
    ChallengeSignal,
    Grade,
    Page,
    Segment,
    SegmentSummary,
    SourceStatus,
    StoreStatus,
    UserReport,
)
from analyzer_service.errors import AnalyzerError, BusyError, InvalidInputError, NotFoundError
from analyzer_service.paging import page, page_limit, page_offset
from analyzer_service.report import build_report
from analyzer_service.run import choose_window, run_analysis
from analyzer_service.store.answer import Answer
from analyzer_service.store.connect import Store
from analyzer_service.store.gate import QueryLimits
from analyzer_service.store.migrations import latest_version
from analyzer_service.store.reader import Reader
from analyzer_service.store.results import ResultWriter
from analyzer_service.store.settling import Settlement, settle
from analyzer_service.store.status import read_status

LOGGER = logging.getLogger(__name__)

WATCH_SECONDS: Final = 1.0
"""A watcher looks again after this long even if nobody told it of a change."""

ENDED: Final = frozenset({AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED})

REPORT_CHALLENGES: Final = 1000
"""Challenges a report holds at most; the rest are counted, and listed by the API."""


class Analyzer:
    """Everything the service can do with a store; safe to call from many threads.

    One analysis runs at a time, because settling and its results have one writer.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        stages: Sequence[str],
        limits: QueryLimits | None = None,
    ) -> None:
        """Work on an open, migrated store; analyses a stopped service left behind are failed."""
        self._store = store
        self._clock = clock
        self._stages = tuple(stages)
        self._limits = limits or QueryLimits()
        self._reader = Reader(store)
        self._results = ResultWriter(store)
        self._busy = threading.Lock()
        self._changed = threading.Condition()
        self._live: dict[str, Analysis] = {}
        self._worker: threading.Thread | None = None
        self._fail_orphans()

    # --- running ----------------------------------------------------------------------------
    def start(self, request: AnalysisRequest) -> Analysis:
        """Begin an analysis and return at once with the run to watch.

        Raises:
            BusyError: One is already running.
            InvalidInputError: The rule set, preset or window cannot be used.
        """
        rule_set, preset = _check(request)
        self._acquire()
        analysis = self._record(_new(rule_set, preset, self._clock))
        self._worker = threading.Thread(
            target=self._run_quietly,
            args=(analysis, request, rule_set, preset),
            name="analysis",
            daemon=True,
        )
        self._worker.start()
        return analysis

    def run(self, request: AnalysisRequest) -> Analysis:
        """Analyse to the end in this thread.

        Raises:
            AnalyzerError: What went wrong; the failed run is recorded too.
        """
        rule_set, preset = _check(request)
        self._acquire()
        analysis = self._record(_new(rule_set, preset, self._clock))
        return self._run(analysis, request, rule_set, preset)

    def settle(self) -> Settlement:
        """Settle what has arrived; waits for a running analysis.

        An analysis begins with it, so calling it is needed only to settle without analysing.
        """
        with self._busy:
            return settle(self._store, self._clock, stages=self._stages)

    def watch(self, analysis_id: str) -> Iterator[Analysis]:
        """Yield the analysis now and whenever it changes, until it has ended."""
        seen: Analysis | None = None
        while True:
            current = self.get_analysis(analysis_id)
            if current != seen:
                yield current
                seen = current
            if current.status in ENDED:
                return
            with self._changed:
                if self._live.get(current.analysis_id) == seen:
                    self._changed.wait(WATCH_SECONDS)

    # --- reading ----------------------------------------------------------------------------
    def get_analysis(self, analysis_id: str = "") -> Analysis:
        """Return one analysis; empty or ``latest`` is the newest that succeeded."""
        if analysis_id in {"", "latest"}:
            found = self._reader.latest_analysis()
            if found is None:
                raise NotFoundError(
                    "No analysis has succeeded yet.",
                    field="analysis_id",
                    hint="Run one with `mlp-analyzer analyze`.",
                )
            return found
        found = self._live.get(analysis_id) or self._reader.analysis(analysis_id)
        if found is None:
            raise _missing("analysis", analysis_id, "analysis_id")
        return found

    def list_analyses(self, *, page_size: int = 0, page_token: str = "") -> Page[Analysis]:
        """Return analyses, newest first."""
        scope = ("analyses",)
        limit, offset = page_limit(page_size), page_offset(page_token, *scope)
        items, total = self._reader.analyses(limit=limit, offset=offset)
        return page(items, offset=offset, total=total, scope=scope)

    def list_challenges(
        self,
        *,
        analysis_id: str = "",
        kind: ChallengeKind | None = None,
        stage: str = "",
        grade: Grade | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Challenge]:
        """Return the challenges of an analysis by rank."""
        limit = page_limit(page_size)
        analysis = self.get_analysis(analysis_id).analysis_id
        scope = ("challenges", analysis, kind or "", stage, grade or "")
        offset = page_offset(page_token, *scope)
        items, total = self._reader.challenges(
            analysis,
            kind=kind or "",
            stage=stage,
            grade=grade or "",
            limit=limit,
            offset=offset,
        )
        return page(items, offset=offset, total=total, scope=scope)

    def get_challenge(self, challenge_id: str, *, analysis_id: str = "") -> Challenge:
        """Return one challenge with its evidence."""
        found = self._reader.challenge(self.get_analysis(analysis_id).analysis_id, challenge_id)
        if found is None:
            raise _missing("challenge", challenge_id, "challenge_id")
        return found

    def list_challenge_signals(
        self, challenge_id: str, *, analysis_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> Page[ChallengeSignal]:
        """Return the signals behind a challenge in the order they happened."""
        limit = page_limit(page_size)
        analysis = self.get_analysis(analysis_id)
        challenge = self.get_challenge(challenge_id, analysis_id=analysis.analysis_id)
        scope = ("signals", analysis.analysis_id, challenge_id)
        offset = page_offset(page_token, *scope)
        if analysis.window is None:
            return page([], offset=0, total=0, scope=scope)
        items, total = self._reader.challenge_signals(
            challenge,
            analysis.window,
            repeats=_repeats(challenge),
            limit=limit,
            offset=offset,
        )
        return page(items, offset=offset, total=total, scope=scope)

    def list_users(
        self,
        *,
        analysis_id: str = "",
        segment: Segment | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[UserReport]:
        """Return users with segment and stage-wise bottlenecks."""
        limit = page_limit(page_size)
        analysis = self.get_analysis(analysis_id).analysis_id
        scope = ("users", analysis, segment or "")
        offset = page_offset(page_token, *scope)
        users, total = self._reader.users(
            analysis, segment=segment or "", limit=limit, offset=offset
        )
        held = self._reader.bottlenecks(analysis, [user.user for user in users])
        reports = [UserReport(user, held.get(user.user, ())) for user in users]
        return page(reports, offset=offset, total=total, scope=scope)

    def get_user(self, user: str, *, analysis_id: str = "") -> UserReport:
        """Return one user, named by pseudonym."""
        name = user.lower()
        if len(name) != 32 or set(name) - set("0123456789abcdef"):  # noqa: PLR2004 - 16 bytes in hex
            raise InvalidInputError(
                f"user is {user!r}, which is not a pseudonym.",
                field="user",
                hint="A pseudonym has 32 hexadecimal digits, as `mlp-analyzer users` shows them.",
            )
        analysis = self.get_analysis(analysis_id).analysis_id
        found = self._reader.user(analysis, name)
        if found is None:
            raise _missing("user", user, "user")
        return UserReport(found, self._reader.bottlenecks(analysis, [name]).get(name, ()))

    def list_segments(self, *, analysis_id: str = "") -> tuple[SegmentSummary, ...]:
        """Return the clusters of an analysis, most experienced first."""
        return self._reader.segments(self.get_analysis(analysis_id).analysis_id)

    def query(self, sql: str, *, max_rows: int = 0) -> Answer:
        """Answer one SELECT of a user, through the gate, within its limits.

        Raises:
            QueryRefusedError: It is not one plain SELECT over tables it may see.
            QueryFailedError: The engine says it is wrong.
            QueryLimitError: It asks for more than the limits allow.
        """
        if max_rows < 0:
            raise InvalidInputError(
                f"max_rows is {max_rows}.", field="max_rows", hint="Give 1 or more, or 0."
            )
        rows = min(max_rows or self._limits.result_rows, self._limits.result_rows)
        return self._store.ask(sql, limits=replace(self._limits, result_rows=rows))

    def status(self) -> StoreStatus:
        """Return the accounting of the store: what came in and where it went."""
        counted = read_status(self._store)
        return StoreStatus(
            version=importlib.metadata.version("mlp-analyzer"),
            engine_version=self._store.engine_version,
            schema_version=latest_version(),
            store=self._store.url,
            sources=tuple(
                SourceStatus(
                    source=source.source,
                    received=source.stored + source.rejected,
                    stored=source.stored,
                    rejected=source.rejected,
                    out_of_range=source.out_of_range,
                    signals=source.signals,
                )
                for source in counted.sources
            ),
            rejected_by_reason=counted.rejected_by_reason,
            settled_days=counted.settled_days,
            newest_settled_day=counted.newest_settled_day,
            watermark=counted.watermark,
            attempts=counted.attempts,
            failures=counted.failures,
            propagated=counted.propagated,
            without_user=counted.without_user,
            unmapped=counted.unmapped,
            unknown_stage=counted.unknown_stage,
            users=counted.users,
            last_analysis=self._reader.latest_analysis(),
        )

    def report(self, *, analysis_id: str = "") -> dict[str, object]:
        """Return an analysis as the report that scripts rely on."""
        analysis = self.get_analysis(analysis_id)
        challenges, _ = self._reader.challenges(
            analysis.analysis_id, kind="", stage="", grade="", limit=REPORT_CHALLENGES, offset=0
        )
        return build_report(analysis, challenges)

    def close(self) -> None:
        """Wait for a running analysis and let the store go."""
        if self._worker is not None:
            self._worker.join()
        self._store.close()

    # --- inside -----------------------------------------------------------------------------
    def _acquire(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise BusyError(hint="Watch it, or try again when it has ended.")

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
        """Run with the lock held; gives it back."""
        current = analysis
        try:
            current = self._record(
                replace(current, status=AnalysisStatus.RUNNING, phase="settling")
            )
            settlement = settle(self._store, self._clock, stages=self._stages)
            window = choose_window(request, self._reader.newest_settled_day())
            current = replace(current, window=window, known_at=settlement.known_at)

            def say(phase: str) -> None:
                self._record(replace(current, phase=phase))

            findings = run_analysis(
                self._reader,
                self._results,
                analysis_id=current.analysis_id,
                window=window,
                known_at=settlement.known_at,
                rule_set=rule_set,
                preset=preset,
                phase=say,
            )
            return self._record(
                replace(
                    current,
                    status=AnalysisStatus.SUCCEEDED,
                    rated=findings.rated,
                    unrated=findings.unrated,
                    segment_sizes=findings.segment_sizes,
                    challenges=findings.challenges,
                    phase="",
                )
            )
        except BaseException as error:
            known = (
                error if isinstance(error, AnalyzerError) else AnalyzerError(type(error).__name__)
            )
            failed = replace(current, status=AnalysisStatus.FAILED, phase="")
            self._record(replace(failed, error=str(known), reason=known.reason))
            raise
        finally:
            self._live.pop(analysis.analysis_id, None)
            self._busy.release()

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
            self._results.analysis(
                replace(
                    analysis,
                    status=AnalysisStatus.FAILED,
                    updated_time=self._clock.now(),
                    error="The service stopped before the analysis ended.",
                )
            )


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


def _repeats(challenge: Challenge) -> int:
    """Return the repeats beyond which the challenge's rule counts an action as redundant."""
    value = challenge.evidence.get("repeats_more_than")
    return value if isinstance(value, int) else 0


def _missing(what: str, name: str, field: str) -> NotFoundError:
    return NotFoundError(
        f"There is no {what} {name!r}.", field=field, hint=f"List them to see each {what}."
    )
