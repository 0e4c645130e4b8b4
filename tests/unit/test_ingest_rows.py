"""Requests to rows: against a slow reading of the same request by the generated classes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_support import Reading, attributes, log, logs, span, traces, value
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer_service.ingest.spans import SPAN_KINDS, STATUS_CODES

names = st.text(max_size=12)
scalars = st.text(max_size=200) | st.booleans() | st.integers(-(2**63), 2**63 - 1)
contents = scalars | st.lists(scalars, max_size=3) | st.dictionaries(names, scalars, max_size=3)
bags = st.dictionaries(
    names.filter(lambda name: not name.startswith(("user.", "enduser.", "http."))), contents
)
times = st.integers(0, 2**63 - 1)
trace_ids = st.binary(min_size=16, max_size=16).filter(any)
span_ids = st.binary(min_size=8, max_size=8).filter(any)

events = st.builds(
    lambda when, name, bag: Span.Event(
        time_unix_nano=when, name=name, attributes=attributes(bag), dropped_attributes_count=3
    ),
    times, names, bags,
)  # fmt: skip
links = st.builds(
    lambda trace, own, state, bag: Span.Link(
        trace_id=trace, span_id=own, trace_state=state, attributes=attributes(bag), flags=1
    ),
    trace_ids, span_ids, names, bags,
)  # fmt: skip
spans = st.builds(
    lambda bag, **fields: span(bag, flags=257, dropped_events_count=1, **fields),
    bags,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=st.just(b"") | st.just(bytes(8)) | span_ids,
    trace_state=names,
    name=names,
    kind=st.integers(0, 5),
    start=times,
    end=times,
    status=st.builds(Status, code=st.sampled_from([0, 1, 2]), message=names),
    events=st.lists(events, max_size=2),
    links=st.lists(links, max_size=2),
)
log_records = st.builds(
    lambda bag, body, **fields: log(bag, body=value(body), **fields),
    bags,
    contents,
    time=st.just(0) | times,
    observed_time_unix_nano=times,
    severity_number=st.integers(0, 24),
    severity_text=names,
    flags=st.integers(0, 255),
    trace_id=st.just(b"") | trace_ids,
    span_id=st.just(b"") | span_ids,
    event_name=names,
)


def slow_text(content: AnyValue) -> str:
    plain = slow_plain(content)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True).replace(
        "\u2028", "\\u2028"
    ).replace("\u2029", "\\u2029")  # fmt: skip


def slow_plain(content: AnyValue) -> Any:
    kind = content.WhichOneof("value")
    if kind == "array_value":
        return [slow_plain(one) for one in content.array_value.values]
    if kind == "kvlist_value":
        return {one.key: slow_plain(one.value) for one in content.kvlist_value.values}
    return getattr(content, kind) if kind else ""


def slow_map(message: Any) -> dict[str, str]:
    return {
        one.key: slow_text(one.value) for one in sorted(message.attributes, key=lambda a: a.key)
    }


def hexadecimal(identifier: bytes) -> str:
    return identifier.hex() if any(identifier) else ""


def slow_span(one: Span, resource: Any, scope: Any) -> dict[str, object]:
    return {
        "Timestamp": one.start_time_unix_nano,
        "TraceId": hexadecimal(one.trace_id),
        "SpanId": hexadecimal(one.span_id),
        "ParentSpanId": hexadecimal(one.parent_span_id),
        "TraceState": one.trace_state,
        "SpanName": one.name,
        "SpanKind": SPAN_KINDS[one.kind],
        "ServiceName": slow_map(resource).get("service.name", ""),
        "ResourceAttributes": slow_map(resource),
        "ScopeName": scope.name,
        "ScopeVersion": scope.version,
        "SpanAttributes": slow_map(one),
        "Duration": max(0, one.end_time_unix_nano - one.start_time_unix_nano),
        "StatusCode": STATUS_CODES[one.status.code],
        "StatusMessage": one.status.message,
        "Events.Timestamp": [event.time_unix_nano for event in one.events],
        "Events.Name": [event.name for event in one.events],
        "Events.Attributes": [slow_map(event) for event in one.events],
        "Links.TraceId": [hexadecimal(link.trace_id) for link in one.links],
        "Links.SpanId": [hexadecimal(link.span_id) for link in one.links],
        "Links.TraceState": [link.trace_state for link in one.links],
        "Links.Attributes": [slow_map(link) for link in one.links],
    }


def slow_log(one: LogRecord, group: Any, inner: Any) -> dict[str, object]:
    return {
        "Timestamp": one.time_unix_nano or one.observed_time_unix_nano,
        "TraceId": hexadecimal(one.trace_id),
        "SpanId": hexadecimal(one.span_id),
        "TraceFlags": one.flags & 0xFF,
        "SeverityText": one.severity_text,
        "SeverityNumber": one.severity_number,
        "ServiceName": slow_map(group.resource).get("service.name", ""),
        "Body": slow_text(one.body),
        "ResourceSchemaUrl": group.schema_url,
        "ResourceAttributes": slow_map(group.resource),
        "ScopeSchemaUrl": inner.schema_url,
        "ScopeName": inner.scope.name,
        "ScopeVersion": inner.scope.version,
        "ScopeAttributes": slow_map(inner.scope),
        "LogAttributes": slow_map(one),
        "EventName": one.event_name,
    }


@settings(max_examples=60)
@given(st.lists(spans, min_size=1, max_size=3), bags, names)
def test_spans_as_the_slow_way(made, resource, version):
    request = traces(*made, resource=resource)
    scope = request.resource_spans[0].scope_spans[0].scope
    scope.version = version
    head = request.resource_spans[0].resource
    assert Reading(request).rows == [slow_span(one, head, scope) for one in made]


@settings(max_examples=60)
@given(st.lists(log_records, min_size=1, max_size=3), bags, bags, names)
def test_log_records_as_the_slow_way(made, resource, scope_bag, url):
    request = logs(*made, resource=resource)
    group = request.resource_logs[0]
    inner = group.scope_logs[0]
    group.schema_url, inner.schema_url = url, url[::-1]
    inner.scope.attributes.extend(attributes(scope_bag))
    assert Reading(request, kind="logs").rows == [slow_log(one, group, inner) for one in made]


@given(bags)
def test_map_keys_are_sorted(bag):
    row = Reading(traces(span(bag))).row
    assert list(row["SpanAttributes"]) == sorted(bag)


def test_groups_keep_their_own_resource_and_scope():
    first = traces(span(name="a"), resource={"service.name": "one"}, scope="x")
    second = traces(span(name="b"), resource={"service.name": "two"}, scope="y")
    first.MergeFrom(second)
    first.resource_spans[0].scope_spans.add().spans.append(span(name="c"))
    rows = [(row["SpanName"], row["ServiceName"], row["ScopeName"]) for row in Reading(first).rows]
    assert rows == [("a", "one", "x"), ("c", "one", ""), ("b", "two", "y")]


def test_a_kind_or_code_that_otlp_does_not_know_is_stored_as_nothing():
    row = Reading(traces(span(kind=9, status=Status(code=7)))).row
    assert (row["SpanKind"], row["StatusCode"]) == ("", "")


def test_a_service_name_that_is_no_string():
    assert Reading(traces(span(), resource={"service.name": 7})).row["ServiceName"] == "7"


def test_ten_thousand_attributes_are_kept():
    said = {f"a{number:05}": "x" for number in range(10_000)}
    reading = Reading(traces(span(said)))
    assert reading.row["SpanAttributes"] == said
    assert not reading.message


def test_a_message_given_in_two_parts_is_merged():
    request = traces(span())
    twice = ExportTraceServiceRequest()
    group = twice.resource_spans.add()
    group.resource.attributes.extend(attributes({"late": "yes"}))
    payload = request.resource_spans[0].SerializeToString() + group.SerializeToString()
    whole = b"\x0a" + len(payload).to_bytes(1, "little") + payload
    row = Reading(whole).row
    assert row["ResourceAttributes"] == {"late": "yes", "service.name": "studio"}


def test_the_reference_knows_every_stored_field():
    """A field that OTLP gains shows up here, and someone decides whether the exporter stores it."""
    known = {
        "traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind", "attributes",
        "startTimeUnixNano", "endTimeUnixNano", "droppedAttributesCount", "events",
        "droppedEventsCount", "links", "droppedLinksCount", "status",
    }  # fmt: skip
    assert {field.json_name for field in Span.DESCRIPTOR.fields} == known
