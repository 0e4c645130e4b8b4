"""The application: run analyses, read what they found, answer questions about the store."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Final

from analyzer_service.analysis.life import ENDED as ENDED_LIVES
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
    StoreStatus,
    UserReport,
)
from analyzer_service.errors import InvalidInputError, NotFoundError
from analyzer_service.following import Following
from analyzer_service.lives import Life, LifeState, Review, ReviewDraft, Sighting
from analyzer_service.map_service import MapService
from analyzer_service.paging import page, page_limit, page_offset
from analyzer_service.report import build_report
from analyzer_service.runner import Runner
from analyzer_service.store.accounting import Accounting
from analyzer_service.store.answer import Answer
from analyzer_service.store.connect import Store
from analyzer_service.store.gate import QueryLimits
from analyzer_service.store.lives import LifeStore
from analyzer_service.store.migrations import latest_version
from analyzer_service.store.reader import Reader
from analyzer_service.store.settling import Settlement
from analyzer_service.store.status import read_settled

ENDED: Final = frozenset({AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED})

REPORT_CHALLENGES: Final = 1000
"""Challenges a report holds at most; the rest are counted, and listed by the API."""


class Analyzer:
    """Everything the service can do with a store; safe to call from many threads."""

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
        self._limits = limits or QueryLimits()
        self._reader = Reader(store)
        self._accounting = Accounting(store, clock)
        self._following = Following(LifeStore(store), clock)
        self._runner = Runner(store, clock, stages=stages, following=self._following)
        self.signal_map = MapService(store, clock, settle_again=self._runner.settle_again)
        """The signal map: look at it, try names, change it, derive signals again."""

    # --- running ----------------------------------------------------------------------------
    def start(self, request: AnalysisRequest) -> Analysis:
        """Begin an analysis and return at once with the run to watch.

        Raises:
            BusyError: One is already running.
            InvalidInputError: The rule set or preset cannot be used.
        """
        return self._runner.start(request)

    def run(self, request: AnalysisRequest) -> Analysis:
        """Analyse to the end in this thread.

        Raises:
            AnalyzerError: What went wrong; the failed run is recorded too.
        """
        return self._runner.run(request)

    def settle(self) -> Settlement:
        """Settle what has arrived; an analysis begins with it, too."""
        return self._runner.settle()

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
            self._runner.wait_for_change(current)

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
        found = self._runner.live(analysis_id) or self._reader.analysis(analysis_id)
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

    def list_lives(
        self, *, analysis_id: str = "", states: Sequence[LifeState] = ()
    ) -> tuple[Life, ...]:
        """Return how challenges stand over the runs up to an analysis, open ones first."""
        found = self._following.lives(self.get_analysis(analysis_id).analysis_id)
        kept = [life for life in found.values() if not states or life.state in states]
        return tuple(
            sorted(kept, key=lambda life: (life.state in ENDED_LIVES, life.since, life.place_id))
        )

    def get_life(
        self, challenge_id: str, *, analysis_id: str = ""
    ) -> tuple[Life, tuple[Sighting | Review, ...]]:
        """Return how one challenge, or place, stands and what was said of it, in order."""
        told = self._following.story(self.get_analysis(analysis_id).analysis_id, challenge_id)
        if told is None:
            raise _missing("challenge", challenge_id, "challenge_id")
        return told

    def review_challenge(
        self, challenge_id: str, draft: ReviewDraft, *, analysis_id: str = ""
    ) -> Life:
        """Keep what a person says of a challenge, or place, and return how it stands then.

        Raises:
            InvalidInputError: Names the field that is missing, too long or out of place.
            NotFoundError: No run of the story reported it.
        """
        life, _ = self.get_life(challenge_id, analysis_id=analysis_id)
        self._following.review(life.signal, draft)
        return self.get_life(life.place_id, analysis_id=analysis_id)[0]

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
        """Return the accounting of the store: what came in and where it went.

        Counts what has arrived since the last time first, so that nothing is left uncounted but
        what arrives meanwhile.
        """
        self._accounting.count()
        settled = read_settled(self._store)
        totals = self._accounting.totals()
        reasons: Counter[str] = Counter()
        for total in totals:
            reasons.update(total.rejected_by_reason)
        return StoreStatus(
            version=importlib.metadata.version("mlp-analyzer"),
            engine_version=self._store.engine_version,
            schema_version=latest_version(),
            store=self._store.url,
            sources=totals,
            services=self._accounting.services(),
            path=self._accounting.path(),
            turned_away=self._accounting.turned_away(),
            rejected_by_reason=dict(sorted(reasons.items())),
            last_analysis=self._reader.latest_analysis(),
            **{item.name: getattr(settled, item.name) for item in fields(settled)},
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
        self._runner.finish()
        self._store.close()


def _repeats(challenge: Challenge) -> int:
    """Return the repeats beyond which the challenge's rule counts an action as redundant."""
    value = challenge.evidence.get("repeats_more_than")
    return value if isinstance(value, int) else 0


def _missing(what: str, name: str, field: str) -> NotFoundError:
    return NotFoundError(
        f"There is no {what} {name!r}.", field=field, hint=f"List them to see each {what}."
    )
