"""Generated OTLP requests with every kind of value and every way to say who somebody is."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ingest_support import MONDAY, attributes, log, logs, span, traces, value
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer_service.ingest.attributes import ROUTE_ATTRIBUTES
from otel_instrumentation import semconv

PEOPLE = (
    "ann",
    "Ånn Ö. 🧪",
    "o'neil",
    'quo"te',
    "back\\slash",
    "x y",
    "a<b>&c",
    "数据",
    "ann@example.org",
)
HASH = "0123456789abcdef" * 2
PERSONAL = ("user.name", "user.email", "user.full_name")
TEXTS = ("", "plain", "Zażółć gęślą jaźń", "𝕌𝕟𝕚", "tab\tline\nend", "nul\x00byte", "<a href='x'>&amp;", "\u2028", "a" * 3000)  # fmt: skip
NUMBERS = (0, -1, 2**63 - 1, -(2**63), 7)
DOUBLES = (0.0, -0.5, 1e21, 1e-7, 1.7976931348623157e308, 3.0)
FLAGS = (0, 1, 0x301)


class Payloads:
    """Requests from one seed; the names of people stand only where the rules remove them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._number = 0

    def traces(self, spans: int) -> bytes:
        request = traces(*(self._span() for _ in range(spans)), resource=self._resource())
        group = request.resource_spans[0]
        group.schema_url = "https://opentelemetry.io/schemas/1.44.0"
        group.scope_spans[0].scope.version = self._random.choice(TEXTS)
        group.scope_spans[0].scope.attributes.extend(attributes(self._personal()))
        return bytes(request.SerializeToString())

    def logs(self, records: int) -> bytes:
        request = logs(*(self._log() for _ in range(records)), resource=self._resource())
        group = request.resource_logs[0]
        group.schema_url = "https://opentelemetry.io/schemas/1.44.0"
        scope = group.scope_logs[0].scope
        scope.attributes.extend(attributes({**self._personal(), "scope.kept": [1, "two"]}))
        return bytes(request.SerializeToString())

    def _span(self) -> Span:
        choice = self._random.choice
        start = MONDAY + self._random.randrange(10**15)
        made = span(
            self._said(),
            trace_id=self._id(16),
            span_id=self._id(8),
            parent_span_id=choice((b"", self._id(8))),
            name=choice(("train", "Zażółć", "GET /user/{name}/lab", "GET /user/Ånn Ö. 🧪/lab")),
            kind=choice(list(Span.SpanKind.values())),
            start=start,
            end=start + self._random.randrange(10**12),
            trace_state=choice(("", "ot=th:8")),
            status=Status(code=choice(list(Status.StatusCode.values())), message=choice(TEXTS)),
        )
        for number in range(self._random.randrange(3)):
            made.events.append(
                Span.Event(
                    time_unix_nano=start + number,
                    name="checkpoint",
                    attributes=attributes({**self._values(), **self._personal()}),
                )
            )
        for _ in range(self._random.randrange(2)):
            made.links.append(
                Span.Link(
                    trace_id=self._id(16),
                    span_id=self._id(8),
                    attributes=attributes(self._values()),
                )
            )
        return made

    def _log(self) -> LogRecord:
        choice = self._random.choice
        inside = self._random.random() < 0.5
        made = log(
            self._said(),
            time=choice((MONDAY + self._random.randrange(10**15), 0)),
            observed_time_unix_nano=MONDAY + self._random.randrange(10**15),
            trace_id=self._id(16) if inside else b"",
            span_id=self._id(8) if inside else b"",
            event_name=choice(("", "mlp.action", "zdarzenie-ż")),
            severity_number=choice((0, 9, 17)),
            severity_text=choice(("", "INFO", "błąd")),
            flags=choice(FLAGS),
        )
        made.attributes.extend(attributes({"log.record.uid": self._id(16).hex()}))
        if self._random.random() < 0.7:
            made.body.CopyFrom(
                value(choice([*TEXTS, 5, True, 2.5, ["a", 1], {"k": {"l": [None]}}]))
            )
        return made

    def _resource(self) -> Mapping[str, object]:
        said: dict[str, object] = {"service.name": "studio-ż", **self._values()}
        return said | (self._who() if self._random.random() < 0.4 else {}) | self._personal()

    def _said(self) -> Mapping[str, object]:
        return self._values() | self._who() | self._personal()

    def _values(self) -> dict[str, object]:
        choice = self._random.choice
        kinds = {
            "v.text": choice(TEXTS),
            "v.number": choice(NUMBERS),
            "v.double": choice(DOUBLES),
            "v.flag": choice((True, False)),
            "v.bytes": self._random.randbytes(self._random.randrange(9)),
            "v.list": [choice(TEXTS), choice(NUMBERS), choice(DOUBLES), True, b"\x00\xff", []],
            "v.map": {"b": choice(TEXTS), "a": {"c": [choice(NUMBERS)]}},
            "v.nothing": None,
            "mlp.stage": choice(("model_training", "no such stage")),
        }
        return dict(self._random.sample(sorted(kinds.items()), self._random.randrange(5)))

    def _who(self) -> dict[str, object]:
        """Say whose it is in one way, two that compete, or not at all."""
        found: dict[str, object] = {}
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3))):
            found |= self._source()
        return found

    def _source(self) -> dict[str, object]:
        choice = self._random.choice
        person = choice(PEOPLE)
        sources: tuple[dict[str, object], ...] = (
            {"user.id": choice((person, 42, True, 2.5, ""))},
            {"enduser.id": choice((person, ""))},
            {"user.hash": choice((HASH, HASH.upper(), HASH[:31], "ann", HASH + "0"))},
            {self._header(): choice((person, [person], [person, "other"], [""], [], "", "[ann"))},
            {self._route(): f"/hub/user/{choice(('ann', 'Ånn', '{name}', '<name>'))}/lab"},
        )
        return choice(sources)

    # One header and one route per world: records in which several disagree are a known difference.

    def _header(self) -> str:
        header = semconv.IDENTITY_HEADERS[self._seed % len(semconv.IDENTITY_HEADERS)]
        return "http.request.header." + (header.replace("-", "_") if self._seed > 6 else header)

    def _route(self) -> str:
        return ROUTE_ATTRIBUTES[self._seed % len(ROUTE_ATTRIBUTES)]

    def _personal(self) -> dict[str, object]:
        chosen = self._random.sample(PERSONAL, self._random.randrange(3))
        return dict.fromkeys(chosen, "Ann Person")

    def _id(self, size: int) -> bytes:
        self._number += 1
        return (self._seed << 32 | self._number).to_bytes(size, "big")
