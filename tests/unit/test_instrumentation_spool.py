"""The spool keeps what it is given, in order and within its bounds, whoever dies meanwhile."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_instrumentation._senders import count_records
from otel_instrumentation._spool import (
    EXPIRED,
    FULL,
    Limits,
    Spool,
    _whole_part_of,
)

ROOMY = Limits(1024 * 1024, 3600)


def payload(*names: str) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for name in names:
        scope.spans.add(name=name)
    return request.SerializeToString()


def names(data: bytes) -> list[str]:
    request = ExportTraceServiceRequest.FromString(data)
    return [
        span.name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class Dropped(list):
    def __call__(self, signal: str, data: bytes, why: str) -> None:
        assert signal == "traces"
        self.append((why, names(data)))


@pytest.fixture
def dropped():
    return Dropped()


@pytest.fixture
def make(tmp_path, dropped):
    made = []

    def build(limits: Limits = ROOMY, destination: str = "here") -> Spool:
        made.append(Spool(tmp_path, "traces", destination, limits, dropped))
        return made[-1]

    yield build
    for spool in made:
        spool.close()


def drained(spool: Spool) -> list[str]:
    found = []
    while (segment := spool.take()) is not None:
        found += names(segment.payload)
        spool.done(segment)
    return found


def test_what_was_written_is_one_request_in_the_order_of_writing(make):
    spool = make()
    for name in ("a", "b", "c"):
        spool.append(payload(name))
    segment = spool.take()
    assert names(segment.payload) == ["a", "b", "c"]
    assert count_records("traces", segment.payload) == 3
    spool.done(segment)
    assert spool.take() is None
    assert spool.is_empty()


def test_files_are_only_for_their_owner(make, tmp_path):
    make().append(payload("a"))
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_could_not_be_sent_comes_first_next_time(make):
    spool = make()
    spool.append(payload("a"))
    first = spool.take()
    spool.append(payload("b"))
    spool.put_back(first)
    assert drained(spool) == ["a", "b"]


def test_files_are_cut_at_their_size(make, tmp_path):
    spool = make(Limits(80_000, 3600))
    for number in range(30):
        spool.append(payload(f"{number:02d}" + "x" * 1000))
    assert len(list(tmp_path.rglob("*.otlp"))) == 3
    assert [name[:2] for name in drained(spool)] == [f"{number:02d}" for number in range(30)]


def test_the_oldest_goes_where_there_is_no_room_and_is_told(make, dropped, tmp_path):
    spool = make(Limits(16_000, 3600))
    written = [f"{number:03d}" + "x" * 1000 for number in range(50)]
    for name in written:
        spool.append(payload(name))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= 16_000
    kept = drained(spool)
    told = [name for why, lost in dropped for name in lost]
    assert {why for why, _ in dropped} == {FULL}
    assert told + kept == written


def test_what_is_with_a_receiver_is_not_dropped(make, dropped):
    spool = make(Limits(16_000, 3600))
    spool.append(payload("first"))
    sending = spool.take()
    for number in range(50):
        spool.append(payload(f"{number:03d}" + "x" * 1000))
    spool.put_back(sending)
    assert drained(spool)[0] == "first"


def test_a_payload_larger_than_the_spool_is_refused(make):
    spool = make(Limits(1000, 3600))
    with pytest.raises(OverflowError):
        spool.append(b"x" * 1001)


def test_what_is_too_old_is_dropped_and_told(make, dropped, tmp_path):
    spool = make(Limits(80_000, 60))
    spool.append(payload("old" + "x" * 20_000))
    (file,) = tmp_path.rglob("*.otlp")
    past = time.time() - 61
    os.utime(file, (past, past))
    spool.append(payload("new"))
    assert drained(spool) == ["new"]
    ((why, lost),) = dropped
    assert (why, [name[:3] for name in lost]) == (EXPIRED, ["old"])


def test_the_next_process_takes_over_what_the_last_left(make, tmp_path):
    first, second = make(), make()
    first.append(payload("a"))
    taken = first.take()
    first.append(payload("b"))
    assert second.adopt() == 0  # its owner lives
    assert taken is not None
    first.close()
    assert second.adopt() == 1
    second.append(payload("c"))
    assert drained(second) == ["a", "b", "c"]
    second.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_telemetry_for_the_same_receiver_is_taken_over(make):
    first = make(destination="there")
    first.append(payload("a"))
    first.close()
    other = make()
    other.adopt()
    assert drained(other) == []


def test_processes_share_the_bound(make, dropped):
    limits = Limits(16_000, 3600)
    first, second = make(limits), make(limits)
    for number in range(10):
        first.append(payload(f"{number}" + "x" * 1000))
    second._counted_at = float("-inf")
    for number in range(10):
        second.append(payload(f"{number}" + "y" * 1000))
    lost = [name for _, names_ in dropped for name in names_]
    assert lost
    assert lost[0].startswith("0x")
    kept = drained(first) + drained(second)
    assert len(lost) + len(kept) == 20


def test_a_forked_process_leaves_its_parents_files_alone(make, tmp_path):
    spool = make()
    spool.append(payload("parent"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            spool.renew()
            assert drained(spool) == []
            assert spool.adopt() == 0
            spool.append(payload("child"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert drained(spool) == ["parent"]
    assert spool.adopt() == 1
    assert drained(spool) == ["child"]


@given(kept=st.lists(st.binary(max_size=300), max_size=4), cut=st.integers(0, 400))
@settings(deadline=None)
def test_a_torn_end_costs_the_torn_batch_alone(kept, cut):
    batches = [payload(each.hex()) for each in kept]
    last = payload("y" * 200)
    torn = b"".join(batches) + last[: min(cut, len(last) - 1)]
    assert _whole_part_of(torn) == b"".join(batches)


def test_a_full_disk_leaves_no_half_batch(make, monkeypatch):
    spool = make()
    spool.append(payload("a"))
    real = os.write

    def failing(file, data):
        real(file, bytes(data)[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", failing)
        with pytest.raises(OSError, match="No space"):
            spool.append(payload("lost"))
    spool.append(payload("b"))
    assert drained(spool) == ["a", "b"]
