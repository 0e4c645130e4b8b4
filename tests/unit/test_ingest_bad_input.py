"""Input that is wrong: what can be kept is, what cannot is rejected by name with the cure."""

from __future__ import annotations

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_support import MONDAY, Reading, log, logs, span, traces, value

from analyzer_service.ingest.findings import MESSAGE_CHARACTERS
from analyzer_service.ingest.payload import UndecodableError
from otel_instrumentation.semconv import STAGES


def corrupted(payload: bytes, good: bytes, bad: bytes) -> bytes:
    assert len(good) == len(bad)
    assert payload.count(good) == 1
    return payload.replace(good, bad)


def test_invalid_utf8_is_repaired_and_the_rest_goes_through():
    request = traces(span({"note": "GOOD1"}, name="GOOD2"), span({"note": "fine"}, name="other"))
    payload = corrupted(request.SerializeToString(), b"GOOD1", b"a\xff\x00\xc3b")
    payload = corrupted(payload, b"GOOD2", b"\xed\xa0\x80zz")
    reading = Reading(payload)
    assert [row["SpanName"] for row in reading.rows] == ["\ufffd\ufffd\ufffdzz", "other"]
    assert reading.rows[0]["SpanAttributes"] == {"note": "a\ufffd\x00\ufffdb"}
    assert reading.findings.repaired == 2
    assert "UTF-8" in reading.message
    assert not reading.reasons


def test_a_repaired_attribute_is_counted_each_time():
    request = traces(span({"note": "GOOD1"}))
    payload = corrupted(request.SerializeToString(), b"GOOD1", b"a\xffbcd")
    assert Reading(payload * 3).findings.repaired == 3


def test_nul_bytes_survive():
    row = Reading(traces(span({"a\x00b": "c\x00d"}, name="\x00"))).row
    assert row["SpanName"] == "\x00"
    assert row["SpanAttributes"] == {"a\x00b": "c\x00d"}


@pytest.mark.parametrize(
    ("fields", "reason", "name"),
    [
        ({"trace_id": b""}, "trace_id", "traceId is empty"),
        ({"trace_id": bytes(16)}, "trace_id", "traceId is all zeros"),
        ({"trace_id": b"\x01" * 15}, "trace_id", "traceId has 15 bytes"),
        ({"span_id": b""}, "span_id", "spanId is empty"),
        ({"span_id": bytes(8)}, "span_id", "spanId is all zeros"),
        ({"span_id": b"\x01" * 16}, "span_id", "spanId has 16 bytes"),
        ({"parent_span_id": b"\x01" * 3}, "parent_span_id", "parentSpanId has 3 bytes"),
        ({"start": 2**63}, "time", "startTimeUnixNano is after 2262"),
    ],
)
def test_a_span_that_cannot_be_stored_is_rejected_alone(fields, reason, name):
    reading = Reading(traces(span(name="before"), span(**fields), span(name="after")))
    assert [row["SpanName"] for row in reading.rows] == ["before", "after"]
    assert reading.reasons == [reason]
    assert name in reading.message
    assert json.loads(reading.findings.rejections[0].record)["name"] == "train"


@pytest.mark.parametrize("when", [0, MONDAY * 20 // 10 + 10**18])
def test_times_that_make_no_signal_are_stored_and_said(when):
    for reading in (
        Reading(traces(span(start=when, end=when + 1))),
        Reading(logs(log(time=when, observed_time_unix_nano=when)), kind="logs"),
    ):
        assert reading.row["Timestamp"] == when
        assert "makes no signal" in reading.message
        assert not reading.reasons


def test_a_log_record_outside_all_time_is_rejected():
    reading = Reading(logs(log(time=2**64 - 1), log()), kind="logs")
    assert len(reading.rows) == 1
    assert reading.reasons == ["time"]
    assert "timeUnixNano" in reading.message


def test_end_before_start_is_stored_with_duration_zero_and_said():
    reading = Reading(traces(span(start=MONDAY, end=MONDAY - 1)))
    assert reading.row["Duration"] == 0
    assert "endTimeUnixNano" in reading.message
    assert not reading.reasons


def test_a_span_without_user_is_stored_without_a_word():
    reading = Reading(traces(span()))
    assert reading.row["SpanAttributes"] == {}
    assert not reading.message


@pytest.mark.parametrize("where", ["record", "resource"])
def test_an_unknown_stage_is_stored_and_said(where):
    said = {"mlp.stage": "model_trainin"}
    request = traces(span(said if where == "record" else {}), resource=said)
    reading = Reading(request)
    assert reading.row["ResourceAttributes"]["mlp.stage"] == "model_trainin"
    assert "mlp.stage 'model_trainin'" in reading.message
    assert all(stage in reading.message for stage in STAGES)
    assert not reading.reasons


def test_known_stages_are_fine():
    assert not Reading(traces(*(span({"mlp.stage": stage}) for stage in STAGES))).message


def test_a_hundred_levels_are_cut_and_the_rest_goes_through():
    deep = b""
    for _ in range(100):  # serialised by hand: the generated classes refuse this depth
        inner = b"\x0a" + _size(deep) + deep
        deep = b"\x2a" + _size(inner) + inner
    attribute = b"\x0a\x01d\x12" + _size(deep) + deep
    one = span({"kept": "yes"}).SerializeToString() + b"\x4a" + _size(attribute) + attribute
    reading = Reading(_wrapped(one))
    assert reading.row["SpanAttributes"]["kept"] == "yes"
    assert reading.row["SpanAttributes"]["d"] == "[" * 32 + '"…"' + "]" * 32
    assert "32 levels" in reading.message


def test_a_truncated_request_keeps_its_whole_spans():
    payload = traces(*(span(name=f"s{number}") for number in range(5))).SerializeToString()
    reading = Reading(payload[:-10])
    assert [row["SpanName"] for row in reading.rows] == ["s0", "s1", "s2", "s3"]
    assert reading.reasons == ["malformed"]


@pytest.mark.parametrize("keep", [1, 2, 5, 20, 40])
def test_a_request_truncated_before_its_first_whole_span_is_refused(keep):
    payload = traces(span(), span()).SerializeToString()
    with pytest.raises(UndecodableError):
        Reading(payload[:keep])


@pytest.mark.parametrize("payload", [b"hello", b'{"resourceSpans": []}', b"\x00", b"\xff" * 50])
def test_what_is_no_request_is_refused(payload):
    with pytest.raises(UndecodableError):
        Reading(payload)


def test_an_empty_request_is_fine():
    assert Reading(b"").rows == []


def test_one_broken_span_between_good_ones():
    group = traces(span(name="a")).resource_spans[0].scope_spans[0]
    broken = b"\x0a\x7f\x01"
    inner = group.SerializeToString() + b"\x12" + _size(broken) + broken
    inner += group.SerializeToString()
    reading = Reading(_wrapped_scope(inner))
    assert [row["SpanName"] for row in reading.rows] == ["a", "a"]
    assert reading.reasons == ["malformed"]
    assert "encoder" in reading.message


def test_a_broken_resource_attribute_costs_only_itself():
    broken = b"\x0a\x05\x0a\x03abc" + b"\x0a\x02\x0a\x09"
    spans = traces(span()).resource_spans[0].scope_spans[0].SerializeToString()
    group = b"\x0a" + _size(broken) + broken + b"\x12" + _size(spans) + spans
    reading = Reading(b"\x0a" + _size(group) + group)
    assert reading.row["ResourceAttributes"] == {"abc": ""}
    assert "left out" in reading.message


def test_ids_of_log_records_may_be_missing_or_wrong():
    reading = Reading(logs(log(trace_id=b"\x01", span_id=b"\x02" * 8)), kind="logs")
    assert (reading.row["TraceId"], reading.row["SpanId"]) == ("", "02" * 8)
    assert "traceId of a log record has 1 bytes" in reading.message
    assert not reading.reasons


def test_the_message_is_bounded():
    spans = [span({"mlp.stage": f"{number}" * 500}) for number in range(300)]
    reading = Reading(traces(*spans))
    assert len(reading.message) <= MESSAGE_CHARACTERS
    assert len(reading.findings.problems) <= 101
    assert "more kinds of problem" in reading.message
    assert len(reading.rows) == 300


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(payload):
    for kind in ("traces", "logs"):
        try:
            Reading(payload, kind=kind)
        except UndecodableError:
            continue


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_flipped_byte_never_breaks_the_reader(position, change):
    payload = bytearray(traces(span({"a": [1, {"b": 2.5}]}), span({"c": "d"})).SerializeToString())
    payload[position % len(payload)] ^= change
    # Anything but these two ends is an error of ours.
    with contextlib.suppress(UndecodableError):
        Reading(bytes(payload))


def test_random_bodies_are_refused():
    with pytest.raises(UndecodableError):
        Reading(b"\x0b" + os.urandom(1000))


def _size(content: bytes) -> bytes:
    size = len(content)
    return bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))


def _wrapped(one: bytes) -> bytes:
    return _wrapped_scope(b"\x12" + _size(one) + one)


def _wrapped_scope(scope: bytes) -> bytes:
    group = b"\x12" + _size(scope) + scope
    return b"\x0a" + _size(group) + group


def test_the_hand_made_framing_is_right():
    one = span({"a": "b"})
    assert Reading(_wrapped(one.SerializeToString())).row["SpanAttributes"] == {"a": "b"}
    assert value("x").SerializeToString() == b"\x0a\x01x"
