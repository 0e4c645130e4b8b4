"""One request of traces or logs: from its bytes to the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from analyzer_service.clock import Clock
from analyzer_service.ingest.attributes import AttributeReader
from analyzer_service.ingest.commit import Committer, RetryLaterError
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.frames import Tools
from analyzer_service.ingest.identity import Identity
from analyzer_service.ingest.payload import PayloadReader, UndecodableError
from analyzer_service.ingest.records import RecordRows
from analyzer_service.ingest.statistics import SignalCounters

LATEST_AHEAD_NANOSECONDS: Final = 24 * 3600 * 10**9
"""Events further ahead make no signal (design.md section 3)."""

REFUSED_BY_STORE: Final = "store"
UNDECODABLE: Final = "undecodable"
TOO_LARGE: Final = "too_large"
NOT_KEPT: Final = "not_kept"
"""Metrics that accounting does not read."""


@dataclass(frozen=True)
class Outcome:
    """What a sender is told: how many records are not stored, and the first few problems.

    ``not_kept`` is for the accounting alone: records that came and are none of our business.
    """

    rejected: int = 0
    message: str = ""
    not_kept: int = 0


class Pipeline:
    """Takes the requests of one kind of telemetry, from any number of threads."""

    def __init__(
        self,
        make_rows: Callable[[Tools], RecordRows],
        committer: Committer,
        attributes: AttributeReader,
        identity: Identity,
        clock: Clock,
    ) -> None:
        self.counters = SignalCounters()
        self._make_rows = make_rows
        self._committer = committer
        self._attributes = attributes
        self._identity = identity
        self._clock = clock

    def accept(self, payload: bytes, findings: Findings | None = None) -> Outcome:
        """Store what a request in protobuf holds; return when it is stored.

        Args:
            payload: An export request.
            findings: What was already found wrong, if the request came in JSON.

        Raises:
            UndecodableError: Nothing of it can be read; sending it again will not help.
            RetryLaterError: It was not stored; sending it again will help.
        """
        findings = Findings() if findings is None else findings
        before = len(findings.rejections)
        reader = self._reader(findings)
        try:
            rows = reader.read(payload)
            refused = self._committer.commit(rows, findings.rejections)
        except UndecodableError:
            self.counters.refused(UNDECODABLE)
            raise
        except RetryLaterError as later:
            self.counters.refused(later.reason)
            raise
        for reason in refused:
            findings.warn(f"the store refused a record: {reason}")
        rejected = Counter(one.reason for one in findings.rejections)
        rejected.update({REFUSED_BY_STORE: len(refused)} if refused else {})
        self.counters.answered(
            received=reader.received + before,
            stored=len(rows) - len(refused),
            repaired=findings.repaired,
            warned=findings.warned,
            rejected=rejected,
        )
        return Outcome(rejected.total(), findings.message())

    def _reader(self, findings: Findings) -> PayloadReader:
        latest = int(self._clock.now().timestamp()) * 10**9 + LATEST_AHEAD_NANOSECONDS
        tools = Tools(self._attributes, self._identity, findings, latest)
        return PayloadReader(self._make_rows(tools), tools)
