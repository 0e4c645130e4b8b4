"""OTLP/JSON: what senders write, and what they write wrongly."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_support import MONDAY, Reading, log, logs, span, traces, value
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer_service.ingest import otlp_json
from analyzer_service.ingest.answers import LOGS, TRACES
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.payload import UndecodableError


def read(document: object, *, kind: str = "traces") -> tuple[Reading, Findings]:
    findings = Findings()
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = (TRACES if kind == "traces" else LOGS).request
    return Reading(otlp_json.to_wire(body, request, findings), kind=kind), findings


def around(*spans: object, **resource: object) -> dict[str, object]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}], **resource}]}


SPAN = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "",
    "name": "train",
    "kind": 2,
    "startTimeUnixNano": str(MONDAY),
    "endTimeUnixNano": MONDAY + 7,
    "attributes": [
        {"key": "text", "value": {"stringValue": "ü"}},
        {"key": "int", "value": {"intValue": "-5"}},
        {"key": "number", "value": {"intValue": 5}},
        {"key": "double", "value": {"doubleValue": 0.5}},
        {"key": "whole", "value": {"doubleValue": 2}},
        {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "bool", "value": {"boolValue": True}},
        {"key": "bytes", "value": {"bytesValue": "AP8="}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}, {}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k"}]}}},
        {"key": "nothing", "value": None},
    ],
    "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
    "links": [{"traceId": "01" * 16, "spanId": "02" * 8}],
    "aFieldOfTheFuture": {"x": [1]},
}


def test_a_span_as_senders_write_it():
    reading, findings = read(around(SPAN))
    row = reading.row
    assert row["TraceId"] == "5b8efff798038103d269b633813fc60c"
    assert row["SpanId"] == "eee19b7ec3c1b174"
    assert row["ParentSpanId"] == ""
    assert (row["SpanKind"], row["Duration"], row["Timestamp"]) == ("Server", 7, MONDAY)
    assert (row["StatusCode"], row["StatusMessage"]) == ("Error", "no")
    assert row["Links.TraceId"] == ["01" * 16]
    assert row["SpanAttributes"] == {
        "bool": "true",
        "bytes": "AP8=",
        "double": "0.5",
        "int": "-5",
        "list": "[1,null]",
        "map": '{"k":null}',
        "nan": "json: unsupported value: NaN",
        "nothing": "",
        "number": "5",
        "text": "ü",
        "whole": "2",
    }
    assert not findings.message()


@pytest.mark.parametrize("kind", [5, "5", "SPAN_KIND_CONSUMER"])
def test_enums_by_number_and_name(kind):
    assert read(around({**SPAN, "kind": kind}))[0].row["SpanKind"] == "Consumer"


def test_names_as_in_the_proto_files():
    made = {**SPAN, "trace_id": "ab" * 16}
    del made["traceId"]
    assert (
        read({"resource_spans": [{"scope_spans": [{"spans": [made]}]}]})[0].row["TraceId"]
        == "ab" * 16
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"traceId": "xyz"}, "traceId"),
        ({"traceId": 7}, "traceId"),
        ({"kind": "SPAN_KIND_OTHER"}, "kind"),
        ({"startTimeUnixNano": "yesterday"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 1.5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 2**64}, "startTimeUnixNano"),
        ({"name": 3}, "name"),
        ({"attributes": {"a": "b"}}, "attributes"),
        ({"attributes": [{"key": "a", "value": "b"}]}, "AnyValue"),
        ({"attributes": [{"key": "a", "value": {"boolValue": "true"}}]}, "boolValue"),
        ({"attributes": [{"key": "a", "value": {"doubleValue": "much"}}]}, "doubleValue"),
        ({"attributes": [{"key": "a", "value": {"doubleValue": None, "intValue": True}}]}, "int"),
        ({"attributes": [{"key": "a", "value": {"bytesValue": "A"}}]}, "bytesValue"),
    ],
)
def test_a_span_with_a_wrong_field_is_rejected_alone_by_name(change, field):
    reading, findings = read(around(SPAN, {**SPAN, **change}, SPAN))
    assert len(reading.rows) == 2
    assert [one.reason for one in findings.rejections] == ["malformed"]
    assert field in findings.message()


@pytest.mark.parametrize("value", ["alice", {"intValue": "alice"}, {"boolValue": "alice"}])
def test_messages_quote_no_attribute(value):
    _, findings = read(around({**SPAN, "attributes": [{"key": "user.id", "value": value}]}))
    assert len(findings.rejections) == 1
    assert "alice" not in findings.message() + str(findings.rejections)


def test_a_span_that_is_no_object_is_rejected_alone():
    reading, findings = read(around("span", SPAN))
    assert len(reading.rows) == 1
    assert "Span must be an object" in findings.message()


def test_a_short_id_is_rejected_as_in_protobuf():
    reading, _ = read(around({**SPAN, "spanId": "eee1"}, SPAN))
    assert len(reading.rows) == 1
    assert reading.reasons == ["span_id"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"resourceSpans": [', b"[]", b"7", b"\x0a\x00", b'{"resourceSpans": 7}',
     b'{"resourceSpans": [7]}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_request_is_refused(body):
    with pytest.raises(UndecodableError):
        read(body)


def test_an_empty_object_is_an_empty_request():
    assert read({})[0].rows == []


def test_invalid_utf8_and_lone_surrogates_are_repaired():
    body = json.dumps(around({**SPAN, "name": "GOOD"})).encode()
    reading, findings = read(body.replace(b"GOOD", b"a\xffb"))
    assert reading.row["SpanName"] == "a\ufffdb"
    assert findings.repaired == 1
    reading, findings = read(body.replace(b"GOOD", b"a\\ud800b"))
    assert reading.row["SpanName"].startswith("a\ufffd")
    assert findings.repaired == 1


@pytest.mark.parametrize("levels", [100, 200])
def test_deep_values_are_cut(levels):
    deep: object = {"stringValue": "leaf"}
    for _ in range(levels):
        deep = {"arrayValue": {"values": [deep]}}
    reading, _ = read(around({**SPAN, "attributes": [{"key": "d", "value": deep}]}))
    assert reading.row["SpanAttributes"]["d"] == "[" * 32 + '"…"' + "]" * 32
    assert "32 levels" in reading.message


def test_exactly_the_levels_that_are_kept():
    deep: object = {"stringValue": "leaf"}
    for _ in range(32):
        deep = {"arrayValue": {"values": [deep]}}
    reading, _ = read(around({**SPAN, "attributes": [{"key": "d", "value": deep}]}))
    assert reading.row["SpanAttributes"]["d"] == "[" * 32 + '"leaf"' + "]" * 32


def test_log_records():
    record = {
        "observedTimeUnixNano": str(MONDAY),
        "severityNumber": "SEVERITY_NUMBER_WARN",
        "body": {"stringValue": "hello"},
        "eventName": "mlp.view",
        "flags": 1,
    }
    row = read({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}, kind="logs")[0].row
    assert (row["Timestamp"], row["SeverityNumber"], row["TraceFlags"]) == (MONDAY, 13, 1)
    assert (row["Body"], row["EventName"]) == ("hello", "mlp.view")


bags = st.dictionaries(
    st.text(max_size=5), st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
)


@settings(max_examples=50)
@given(bags, st.text(), st.integers(0, 2**63 - 1))
def test_json_and_protobuf_give_the_same_rows(bag, name, when):
    one = span(bag, name=name, start=when, end=when)
    one.events.append(Span.Event(time_unix_nano=when, name=name))
    document = MessageToDict(traces(one))
    made = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    made["traceId"], made["spanId"] = one.trace_id.hex(), one.span_id.hex()
    assert read(document)[0].rows == Reading(traces(one)).rows
    request = logs(log(bag, time=when, body=value(name), event_name=name))
    assert read(MessageToDict(request), kind="logs")[0].rows == Reading(request, kind="logs").rows
