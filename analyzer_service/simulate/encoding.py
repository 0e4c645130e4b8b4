"""A day's arrays become OTLP requests: spans and log records in order of time, slice by slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from analyzer_service.otlp import encode
from analyzer_service.simulate.catalogue import NO_BACKEND
from analyzer_service.simulate.day import CALLING, DAY, SECOND, SINGLE, Day
from analyzer_service.simulate.plan import Plan
from analyzer_service.simulate.population import UNRATED
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.templates import (
    BROWSER_SERVICE,
    SpanTemplate,
    Templates,
    TraceTemplate,
)
from otel_instrumentation import semconv

Batch = tuple[Literal["traces", "logs"], bytes, int]
"""Which service takes it, the serialized request, and the records in it."""

RECORDS_PER_SLICE: Final = 2500
"""Key actions and events of one pair of requests. Receivers accept 4 MiB: even if every action
made four spans (some 1,300 bytes together) a request would hold; on average it is 0.7 MB."""

ANONYMOUS_OPERATIONS: Final = 0.3
"""Share of operations behind the gateway whose service does not know the user: the gateway does."""

RESULT_VIEWS: Final = 0.05
"""Share of calling traces after which the service reports a view, with trace but without user."""

ENDED_SESSIONS: Final = 0.8
"""Share of sessions that end with an event; from the others the browser is simply closed."""

HOUSEKEEPING_PER_DAY: Final = 8
"""Traces of each backend's own upkeep, which have no user at all."""
HOUSEKEEPING_FAILURES: Final = 0.05
LONGEST_UPKEEP: Final = 90 * SECOND

GATEWAY_OVERHEAD: Final = SECOND // 500
"""What the gateway adds on either side."""

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_SPANS_OF_A_TRACE: Final = 4
_HEX: Final = 2 * _TRACE_ID_BYTES
_MARGIN: Final = 16
"""A call begins and ends within its caller, a sixteenth of the time from either end."""

_Ids = tuple[bytes, bytes, bytes]
"""Trace, span and parent (empty for a root)."""


class _Spans:
    """Encoded spans by the service that sends them."""

    def __init__(self) -> None:
        self.by_service: dict[str, list[bytes]] = defaultdict(list)

    def add(
        self, template: SpanTemplate, ids: _Ids, times: tuple[int, int], attributes: bytes
    ) -> None:
        """Encode one span."""
        self.by_service[template.service].append(
            encode.span(
                trace_id=ids[0],
                span_id=ids[1],
                parent_span_id=ids[2],
                name=template.name,
                kind=template.kind,
                start_ns=times[0],
                end_ns=times[1],
                attributes=template.attributes + attributes,
                status=template.status,
                status_message=template.status_message,
            )
        )


def encode_day(plan: Plan, templates: Templates, day: Day) -> Iterator[Batch]:
    """Yield the requests of a day."""
    random = stream(plan.seed, "ids", day.number)
    writer = _DayWriter(plan, templates, day, random)
    day_start = plan.calendar.start_ns(day.number)
    yield _request("traces", writer.housekeeping(day_start).by_service, templates)
    times = np.sort(np.concatenate((day.key_actions.start, day.gestures.time)))
    inner = [int(time) for time in times[RECORDS_PER_SLICE::RECORDS_PER_SLICE]]
    for first, beyond in pairwise([day_start, *inner, day_start + DAY]):
        spans, events = writer.write(first, beyond)
        if spans.by_service:
            yield _request("traces", spans.by_service, templates)
        if events:
            yield _request("logs", {BROWSER_SERVICE: events}, templates)


def _request(
    kind: Literal["traces", "logs"], records: Mapping[str, list[bytes]], templates: Templates
) -> Batch:
    join = encode.traces_request if kind == "traces" else encode.logs_request
    payload = b"".join(
        join(templates.resource(service), templates.scope, records[service])
        for service in sorted(records)
    )
    return kind, payload, sum(map(len, records.values()))


class _DayWriter:
    """Writes the records of one day between two instants."""

    def __init__(
        self, plan: Plan, templates: Templates, day: Day, random: np.random.Generator
    ) -> None:
        self._catalogue = plan.catalogue
        self._templates = templates
        self._day = day
        self._random = random
        users = day.sessions.user
        ids = self._hex(len(users))
        self._identities = [
            templates.identity(int(user), ids[i * _HEX : (i + 1) * _HEX])
            for i, user in enumerate(users)
        ]
        self._rated = plan.people.segment[users] != UNRATED
        self._marks = self._session_marks()

    def _hex(self, count: int) -> bytes:
        """Return that many random ids of 32 hex digits, joined."""
        return self._random.bytes(_TRACE_ID_BYTES * count).hex().encode()

    def housekeeping(self, day_start: int) -> _Spans:
        """Write the day's traces of upkeep."""
        spans = _Spans()
        for number in sorted({a.backend for a in self._catalogue.actions} - {NO_BACKEND}):
            well, badly = self._templates.upkeep(number)
            for _ in range(HOUSEKEEPING_PER_DAY):
                failed = self._random.random() < HOUSEKEEPING_FAILURES
                start = day_start + int(self._random.integers(0, DAY - LONGEST_UPKEEP))
                ids = (self._random.bytes(_TRACE_ID_BYTES), self._random.bytes(_SPAN_ID_BYTES), b"")
                end = start + int(self._random.integers(SECOND, LONGEST_UPKEEP))
                spans.add(badly if failed else well, ids, (start, end - SECOND), b"")
        return spans

    def write(self, first: int, beyond: int) -> tuple[_Spans, list[bytes]]:
        """Write what begins in [first, beyond)."""
        timed: list[tuple[int, bytes]] = []
        spans = self._write_traces(first, beyond, timed)
        self._write_gestures(first, beyond, timed)
        timed.extend(mark for mark in self._marks if first <= mark[0] < beyond)
        timed.sort(key=lambda event: event[0])
        return spans, [event for _, event in timed]

    def _write_traces(self, first: int, beyond: int, events: list[tuple[int, bytes]]) -> _Spans:
        keys = self._day.key_actions
        part = _between(keys.start, first, beyond)
        count = part.stop - part.start
        trace_ids = self._random.bytes(_TRACE_ID_BYTES * count)
        span_ids = self._random.bytes(_SPAN_ID_BYTES * _SPANS_OF_A_TRACE * count)
        chances = self._random.random((count, 2))
        rows = zip(
            keys.start[part].tolist(),
            keys.duration[part].tolist(),
            keys.shape[part].tolist(),
            keys.session[part].tolist(),
            keys.action[part].tolist(),
            keys.error[part].tolist(),
            self._what(keys.digest[part]),
            (chances[:, 0] < ANONYMOUS_OPERATIONS).tolist(),
            ((chances[:, 1] < RESULT_VIEWS) & self._rated[keys.session[part]]).tolist(),
            strict=True,
        )
        spans = _Spans()
        for i, row in enumerate(rows):
            start, duration, shape, session, action, error, what, nameless, viewed = row
            trace = self._templates.trace(action, error)
            who = self._identities[session][0]
            trace_id, own = trace_ids[16 * i : 16 * i + 16], span_ids[32 * i : 32 * i + 32]
            times = (start, start + duration)
            if shape == SINGLE:
                spans.add(trace.alone, (trace_id, own[:8], b""), times, who + what)
                continue
            calls = shape == CALLING
            _add_routed(spans, trace, (trace_id, own), times, (who, what), nameless=nameless)
            _add_inside(spans, trace, (trace_id, own), times, calls=calls)
            if calls and viewed:
                events.append((times[1], self._result_view(action, trace_id, own[:8], times[1])))
        return spans

    def _what(self, digests: NDArray[np.uint64]) -> list[bytes]:
        """Return digest and target attributes: the same arguments mean the same target."""
        prefix, targets = self._templates.digest_prefix, self._templates.targets
        digits = digests.astype(">u8").tobytes().hex().encode()
        places = (digests % np.uint64(len(targets))).tolist()
        return [
            prefix + digits[16 * i : 16 * i + 16] + targets[place] for i, place in enumerate(places)
        ]

    def _result_view(self, action: int, trace_id: bytes, span_id: bytes, time: int) -> bytes:
        component = self._catalogue.actions[action].component
        event = self._templates.event(component, 1, is_click=False)
        return encode.log_record(
            event_name=semconv.EVENT_VIEW,
            time_ns=time,
            attributes=event + self._templates.uid_prefix + self._hex(1),
            trace_id=trace_id,
            span_id=span_id,
        )

    def _write_gestures(self, first: int, beyond: int, events: list[tuple[int, bytes]]) -> None:
        gestures = self._day.gestures
        part = _between(gestures.time, first, beyond)
        uids = self._hex(part.stop - part.start)
        prefix = self._templates.uid_prefix
        rows = zip(
            gestures.time[part].tolist(),
            gestures.session[part].tolist(),
            gestures.component[part].tolist(),
            gestures.is_click[part].tolist(),
            gestures.place[part].tolist(),
            strict=True,
        )
        for i, (time, session, component, is_click, place) in enumerate(rows):
            what = self._templates.event(component, place, is_click=is_click)
            who = self._identities[session][1]
            record = encode.log_record(
                event_name=semconv.EVENT_CLICK if is_click else semconv.EVENT_VIEW,
                time_ns=time,
                attributes=what + who + prefix + uids[i * _HEX : (i + 1) * _HEX],
            )
            events.append((time, record))

    def _session_marks(self) -> list[tuple[int, bytes]]:
        sessions = self._day.sessions
        ended = self._random.random(len(sessions.user)) < ENDED_SESSIONS
        ends = sessions.start + sessions.length
        marks = []
        for i, (_, who) in enumerate(self._identities):
            marks.append(self._mark(semconv.EVENT_SESSION_START, int(sessions.start[i]), who))
            if ended[i]:
                marks.append(self._mark(semconv.EVENT_SESSION_END, int(ends[i]), who))
        return marks

    def _mark(self, name: str, time: int, who: bytes) -> tuple[int, bytes]:
        uid = self._templates.uid_prefix + self._hex(1)
        return time, encode.log_record(event_name=name, time_ns=time, attributes=who + uid)


def _between(times: NDArray[np.int64], first: int, beyond: int) -> slice:
    low, high = np.searchsorted(times, [first, beyond])
    return slice(int(low), int(high))


def _add_routed(
    spans: _Spans,
    trace: TraceTemplate,
    ids: tuple[bytes, bytes],
    times: tuple[int, int],
    said: tuple[bytes, bytes],
    *,
    nameless: bool,
) -> None:
    """Add the gateway's span, which knows the user, and the operation's, which may not."""
    trace_id, own = ids
    who, what = said
    around = (times[0] - GATEWAY_OVERHEAD, times[1] + GATEWAY_OVERHEAD)
    spans.add(trace.gateway, (trace_id, own[8:16], b""), around, who)
    said_by_operation = what if nameless else who + what
    spans.add(trace.operation, (trace_id, own[:8], own[8:16]), times, said_by_operation)


def _add_inside(
    spans: _Spans,
    trace: TraceTemplate,
    ids: tuple[bytes, bytes],
    times: tuple[int, int],
    *,
    calls: bool,
) -> None:
    """Add what the operation does inside: a step of its own, or a call and what it causes."""
    trace_id, own = ids
    margin = (times[1] - times[0]) // _MARGIN
    times = (times[0] + margin, times[1] - margin)
    child = (trace_id, own[16:24], own[:8])
    if not calls or trace.backend is None:
        spans.add(trace.inner, child, times, b"")
        return
    spans.add(trace.call, child, times, b"")
    leaf = (trace_id, own[24:], own[16:24])
    spans.add(trace.backend, leaf, (times[0] + margin, times[1] - margin), b"")
