"""A writer's INSERTs that are larger than usual: taken one by one, or set aside; never refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from analyzer_service.endpoint.frames import compress_frames
from tests.integration.endpoint_support import Answer, Running, running_endpoint

USUAL, MOST = 8_000_000, 20_000_000
"""What ``running_endpoint`` sets."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_endpoint(tmp_path_factory.mktemp("endpoint")) as endpoint:
        yield endpoint


def block(name: str, size: int) -> bytes:
    """Return one row as JSON of about a size."""
    return json.dumps({"Body": name + "x" * size, "EventName": name}).encode()


def insert(running: Running, body: bytes, role: str = "writer", **parameters: str) -> Answer:
    encoding = parameters.pop("encoding", "")
    return running.ask(
        body,
        role,
        query="INSERT INTO otel_logs (Body, EventName) FORMAT JSONEachRow",
        headers={"Content-Encoding": encoding} if encoding else {},
        **parameters,
    )


def stored(running: Running, name: str) -> int:
    rows = running.store.query(
        "SELECT count() FROM otel_logs WHERE EventName = {name:String}", {"name": name}
    )
    return int(rows[0][0])


def too_large(running: Running) -> list[tuple[str, str]]:
    rows = running.store.query(
        "SELECT source, record FROM rejected FINAL WHERE reason = 'too_large'"
    )
    return [(str(source), str(record)) for source, record in rows]


def test_above_the_usual_limit_it_is_stored(running: Running) -> None:
    plain = block("plain", USUAL + 1_000_000)
    framed = compress_frames(block("framed", USUAL + 1_000_000))
    zipped = gzip.compress(block("zipped", USUAL + 1_000_000))
    assert insert(running, plain).status == 200
    assert insert(running, framed, decompress="1").status == 200
    assert insert(running, zipped, encoding="gzip").status == 200
    assert [stored(running, name) for name in ("plain", "framed", "zipped")] == [1, 1, 1]


def test_above_the_highest_limit_it_is_set_aside_once(running: Running) -> None:
    before = too_large(running)
    bodies = (
        {"body": block("too large", MOST)},
        {"body": compress_frames(block("too large", MOST)), "decompress": "1"},
        {"body": gzip.compress(block("too large", MOST), mtime=0), "encoding": "gzip"},
    )
    for _ in range(2):  # an exporter that did not hear the answer
        for request in bodies:
            answer = insert(running, **request)
            assert (answer.status, answer.body) == (200, b""), answer.text
            summary = json.loads(answer.headers["x-clickhouse-summary"])
            assert summary["written_rows"] == "0"
    found = too_large(running)[len(before) :]
    assert len(found) == len(bodies)
    assert {source for source, _ in found} == {"logs"}
    assert all(record.startswith("INSERT INTO otel_logs") for _, record in found)
    assert stored(running, "too large") == 0


def test_many_at_once_are_all_stored(running: Running) -> None:
    names = [f"parallel-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        statuses = list(
            pool.map(lambda name: insert(running, block(name, USUAL + 1)).status, names)
        )
    assert statuses == [200] * 6
    assert sum(stored(running, name) for name in names) == 6


def test_a_person_is_told(running: Running) -> None:
    answer = insert(running, block("operator", USUAL), role="operator")
    assert (answer.status, answer.code) == (413, 290)
    assert str(USUAL) in answer.text


def test_tables_are_checked_before_anything_is_set_aside(running: Running) -> None:
    before = too_large(running)
    answer = running.ask(
        block("elsewhere", MOST), "writer", query="INSERT INTO signals FORMAT JSONEachRow"
    )
    assert answer.status == 403
    assert too_large(running) == before


def test_log_records_without_event_names_wait(running: Running) -> None:
    query = "INSERT INTO otel_logs (Body) FORMAT JSONEachRow"
    answer = running.ask(b'{"Body":"nameless"}', "writer", query=query)
    assert (answer.status, answer.code) == (503, 16)
    assert "Restart the Collector" in answer.text
    assert running.count("otel_logs WHERE Body = 'nameless'") == 0
    assert running.ask(b'{"Body":"nameless"}', "operator", query=query).status == 200
