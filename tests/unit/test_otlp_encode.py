from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer_service.otlp import encode

scalars = (
    st.text(max_size=300).filter(lambda text: text.isprintable())
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
)
values = scalars | st.lists(st.text(max_size=5) | st.integers(-5, 5), max_size=4)
pairs = st.dictionaries(st.text(min_size=1, max_size=20), values, max_size=12)
times = st.integers(0, 2**64 - 1)


def message(value: object) -> AnyValue:
    """The same value through the generated classes."""
    match value:
        case str():
            return AnyValue(string_value=value)
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[message(item) for item in value]))


def messages(attributes: dict[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=message(value)) for key, value in attributes.items()]


def unsigned_zeros(attributes: dict[str, object]) -> dict[str, object]:
    return {
        key: abs(value) if isinstance(value, float) and value == 0 else value
        for key, value in attributes.items()
    }


spans = st.fixed_dictionaries(
    {
        "trace_id": st.binary(min_size=16, max_size=16),
        "span_id": st.binary(min_size=8, max_size=8),
        "parent_span_id": st.just(b"") | st.binary(min_size=8, max_size=8),
        "name": st.text(max_size=200),
        "start_ns": times,
        "end_ns": times,
        "kind": st.sampled_from(encode.SpanKind),
        "status": st.sampled_from(encode.StatusCode),
        "status_message": st.text(max_size=20),
    }
)


@given(pairs.map(unsigned_zeros), spans)
def test_a_span_reads_back_as_the_generated_classes_write_it(attributes, fields) -> None:
    encoded = encode.span(attributes=encode.span_attributes(attributes), **fields)
    payload = encode.traces_request(
        encode.resource(attributes), encode.scope("scope", "1"), [encoded, encoded]
    )
    expected = Span(
        trace_id=fields["trace_id"],
        span_id=fields["span_id"],
        parent_span_id=fields["parent_span_id"],
        name=fields["name"],
        start_time_unix_nano=fields["start_ns"],
        end_time_unix_nano=fields["end_ns"],
        kind=int(fields["kind"]),
        attributes=messages(attributes),
    )
    if fields["status"]:
        status = Status(code=int(fields["status"]), message=fields["status_message"])
        expected.status.CopyFrom(status)
    resource_spans = ExportTraceServiceRequest.FromString(payload).resource_spans[0]
    assert list(resource_spans.resource.attributes) == messages(attributes)
    assert resource_spans.scope_spans[0].scope.name == "scope"
    assert resource_spans.scope_spans[0].scope.version == "1"
    assert list(resource_spans.scope_spans[0].spans) == [expected, expected]


@given(pairs.map(unsigned_zeros), times, st.text(max_size=50), st.text(max_size=50))
def test_a_log_record_reads_back(attributes, time_ns, event_name, body) -> None:
    encoded = encode.log_record(
        event_name=event_name,
        time_ns=time_ns,
        attributes=encode.log_attributes(attributes),
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        body=body,
    )
    payload = encode.logs_request(encode.resource({}), encode.scope("scope"), [encoded])
    record = ExportLogsServiceRequest.FromString(payload).resource_logs[0].scope_logs[0]
    record = record.log_records[0]
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (time_ns, time_ns)
    assert (record.trace_id, record.span_id) == (b"t" * 16, b"s" * 8)
    assert (record.event_name, record.body.string_value) == (event_name, body)
    assert record.severity_number == encode.SEVERITY_INFO
    assert list(record.attributes) == messages(attributes)


def test_equal_values_of_different_types_keep_their_types() -> None:
    for value in (1, True, 1.0, "1", b"1"):
        assert encode.attributes({"x": value}) == messages({"x": value})
        decoded = ExportTraceServiceRequest.FromString(
            encode.traces_request(encode.resource({"x": value}), b"", [])
        )
        assert list(decoded.resource_spans[0].resource.attributes) == messages({"x": value})


def test_what_otlp_cannot_say_is_said_as_text() -> None:
    (huge,) = encode.attributes({"x": 2**63})
    assert huge.value.string_value == str(2**63)
    (broken,) = encode.attributes({"x": "a\udcff"})
    assert broken.value.string_value == "a?"
    (nan,) = encode.attributes({"x": math.nan})
    assert math.isnan(nan.value.double_value)


def test_requests_may_be_concatenated() -> None:
    one = encode.traces_request(encode.resource({"service.name": "a"}), b"", [])
    two = encode.traces_request(encode.resource({"service.name": "b"}), b"", [])
    names = [
        resource_spans.resource.attributes[0].value.string_value
        for resource_spans in ExportTraceServiceRequest.FromString(one + two).resource_spans
    ]
    assert names == ["a", "b"]
