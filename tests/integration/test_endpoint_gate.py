"""The endpoint against people who try."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.endpoint_support import LIMITS, Running, running_endpoint
from tests.integration.test_store_gate import HOSTILE, POSITIONS, SECRET

# What the gate refuses and a format of the answer is here.
ALLOWED_HERE = {"SELECT 1 FORMAT CSV"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_endpoint(tmp_path_factory.mktemp("endpoint")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("host") / "secret.txt"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("template", POSITIONS)
def test_no_position_lets_a_function_read_files(
    running: Running, secret_file: Path, template: str
) -> None:
    sql = template.format(f=f"file('{secret_file}')", path=secret_file)
    for role in ("reader", "operator"):
        answer = running.ask(sql, role)
        assert answer.status in (400, 403, 404), answer.text
        assert answer.code != 0
        assert SECRET not in answer.text


@pytest.mark.parametrize("template", [sql for sql in HOSTILE if sql not in ALLOWED_HERE])
def test_hostile_statements_are_refused(
    running: Running, secret_file: Path, tmp_path: Path, template: str
) -> None:
    before = running.store.query("SELECT name FROM system.tables ORDER BY name")
    out = tmp_path / "out.csv"
    sql = template.replace("{path}", str(secret_file)).replace("{out}", str(out))
    sql = sql.replace("{{", "{").replace("}}", "}")
    for role in ("reader", "operator", "writer"):
        started = time.monotonic()
        answer = running.ask(sql, role)
        assert answer.status in (400, 403, 404, 413, 501), answer.text
        assert answer.code != 0
        assert time.monotonic() - started < 60  # ungated, it would not end at all
        assert SECRET not in answer.text
        assert not out.exists()
    assert running.store.query("SELECT name FROM system.tables ORDER BY name") == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {t:Identifier}",
        "SELECT {f:Identifier}({p:String})",
        "SELECT * FROM file({p:String}, 'LineAsString')",
        "SELECT arrayMap({f:Identifier}, [{p:String}])",
        "SELECT {p:String} INTO OUTFILE {p:String}",
        "SELECT 1 IN {t:Identifier}",
    ],
)
def test_parameters_open_no_way(running: Running, secret_file: Path, sql: str) -> None:
    answer = running.ask(
        sql,
        "reader",
        param_t="otel_traces",
        param_f="file",
        param_p=str(secret_file),
    )
    assert answer.status in (400, 403)
    assert SECRET not in answer.text


def test_text_in_a_parameter_stays_text(running: Running) -> None:
    hostile = r"\'); DROP TABLE otel_logs; -- {x:String} %s FORMAT CSV"
    answer = running.ask("SELECT {x:String} AS x FORMAT TSVRaw", param_x=hostile)
    assert answer.text == hostile.replace("\\'", "'") + "\n"
    assert running.count("otel_logs") >= 0


# -- readers and rows about one person


@pytest.fixture(scope="module")
def person(running: Running) -> str:
    running.store.insert_rows("otel_traces", ["TraceId", "SpanId"], [("secret-trace", "s")])
    running.store.insert_rows(
        "user_segments", ["analysis_id", "segment"], [("a", "secret-segment")]
    )
    running.store.insert_rows("segments", ["analysis_id", "segment"], [("a", "expert")])
    return "secret"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM otel_traces",
        "SELECT * FROM default.otel_traces",
        "SELECT * FROM `otel_traces`",
        "SELECT * FROM user_segments",
        "SELECT * FROM user_bottlenecks",
        "SELECT * FROM signals",
        "SELECT * FROM attempts_daily",
        "SELECT * FROM failures",
        "SELECT * FROM rejected",
        "SELECT * FROM mlp_action",
        "SELECT (SELECT any(TraceId) FROM otel_traces)",
        "SELECT * FROM segments JOIN user_segments USING analysis_id",
        "WITH x AS (SELECT segment FROM user_segments) SELECT * FROM x",
        "WITH user_segments AS (SELECT 1 AS n) SELECT n, (SELECT any(segment) FROM default.user_segments) FROM user_segments",
        "SELECT ('a', toFixedString('', 16), 'secret-segment', 0., false, map()) IN user_segments",
        "SELECT count() FROM segments WHERE analysis_id IN (SELECT analysis_id FROM user_segments)",
        "SELECT analysis_id FROM segments UNION ALL SELECT segment FROM user_segments",
        "SELECT * FROM merge('default', 'user_.*')",
        "SELECT * FROM view(SELECT * FROM user_segments)",
        "SELECT * FROM cluster('default', default.user_segments)",
        "SELECT joinGet('user_segments', 'segment', 'a')",
        "SELECT * FROM mergeTreeIndex('default', 'user_segments')",
    ],
)
def test_readers_see_no_rows_about_a_person(running: Running, person: str, sql: str) -> None:
    answer = running.ask(sql, "reader")
    assert answer.status in (400, 403), answer.text
    assert person not in answer.text


def test_a_table_that_slips_through_shows_readers_nothing(running: Running, person: str) -> None:
    """The third net alone: the filter on the handle, without the checks of names."""
    from analyzer_service.endpoint.service import READER_TABLES
    from analyzer_service.store.raw import RawQueries, RawQuestion

    queries = RawQueries(running.store, limits=LIMITS)
    question = RawQuestion("SELECT 1", tables=READER_TABLES)
    settings = queries.settings(question, LIMITS)
    with running.store.handles.lend(settings) as client:
        for table in ("otel_traces", "user_segments", "default.user_segments", "mlp_action"):
            assert client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]
        assert client.query("SELECT count() FROM segments").result_rows[0][0] > 0
    assert running.count("otel_traces") > 0


def test_readers_see_results_and_the_service(running: Running, person: str) -> None:
    assert running.ask("SELECT DISTINCT segment FROM segments", "reader").text == "expert\n"
    assert running.ask("SELECT max(version) > 0 FROM schema_migrations", "reader").status == 200
    assert running.ask("SELECT count() > 9 FROM system.tables", "reader").text == "1\n"
    for table in ("analyses", "challenges", "settled_days", "settlements", "signal_map"):
        assert running.ask(f"SELECT count() FROM {table}", "reader").status == 200
    assert running.ask("SELECT count() FROM user_segments", "operator").text == "1\n"


# -- limits


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(rand())", {}),
        ("SELECT number FROM numbers(1000000000)", {}),
        ("SELECT repeat('x', 1000) FROM numbers(290000) FORMAT JSON", {}),
        ("SELECT number FROM numbers(100)", {"max_result_rows": "10", "max_block_size": "5"}),
        ("SELECT length(groupArray(number)) FROM numbers(100000000)", {"max_memory_usage": "50000000"}),
        ("SELECT sum(sipHash64(number)) FROM numbers_mt(1000000000000)", {"max_execution_time": "0.3"}),
    ],
)  # fmt: skip
def test_limits_end_a_query(running: Running, sql: str, parameters: dict[str, str]) -> None:
    try:
        answer = running.ask(sql, "reader", **parameters)
    except http.client.IncompleteRead:
        # Only of an endless stream may rows have left before a limit is reached.
        assert sql == "SELECT number FROM numbers(1000000000)"
    else:
        assert answer.status in (400, 413), answer.text[:300]
    # Nothing of it is left to the next query, whichever handle that gets.
    for _ in range(3):
        assert running.ask("SELECT 7", "reader", **parameters).text == "7\n"


def test_a_client_that_leaves_ends_its_query(running: Running) -> None:
    sql = "SELECT number, sleepless FROM (SELECT number, repeat('x', 60) AS sleepless FROM numbers(290000))"
    with socket.create_connection(("127.0.0.1", running.endpoint.port)) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: operator-token\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(sql), sql.encode())
        )
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 5
    while running.store.handles.lent and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running.store.handles.lent
    assert running.ask("SELECT 7").text == "7\n"


# -- the audit log


def test_looks_at_persons_are_audited_granted_or_not(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "analyzer_service.audit"):
        running.ask("SELECT count() FROM signals WHERE user_key = {u:String}", param_u="ann")
        running.ask("SELECT * FROM user_segments", "reader")
        running.ask("SELECT count() FROM segments", "reader")
        running.ask("SELECT 1", "writer")
    entries = [entry for entry in caplog.records if entry.name == "analyzer_service.audit"]
    assert [(e.role, e.granted, e.method) for e in entries] == [  # type: ignore[attr-defined]
        ("operator", True, "ClickHouse"),
        ("reader", False, "ClickHouse"),
    ]
    assert "'u': 'ann'" in entries[0].getMessage()
    assert "user_segments" in entries[1].getMessage()
    assert all(e.peer.startswith("http:127.0.0.1:") for e in entries)  # type: ignore[attr-defined]
