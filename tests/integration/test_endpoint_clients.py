"""What ordinary clients do, over a real store."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlencode

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, StreamFailureError

from analyzer_service.endpoint.frames import compress_frames, decompress_frames
from tests.integration.endpoint_support import Running, running_endpoint

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_endpoint(tmp_path_factory.mktemp("endpoint")) as endpoint:
        yield endpoint


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with connect(running, "operator") as opened:
        yield opened


def connect(running: Running, role: str, **options: object) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=running.endpoint.port,
        username=role,
        password=f"{role}-token",
        **options,  # type: ignore[arg-type]
    )


# -- clickhouse-connect


@pytest.mark.parametrize("compress", [True, False, "gzip", "zstd", "lz4", "deflate"])
def test_queries_with_every_compression(running: Running, compress: object) -> None:
    with connect(running, "reader", compress=compress) as client:
        found = client.query("SELECT number, toString(number) FROM numbers(100000)")
        assert found.result_rows == [(n, str(n)) for n in range(100_000)]


def test_parameters(client: Client) -> None:
    values = {
        "n": 3, "s": "it's a\\b\n\t%s {x}", "a": ["x'", "y"], "e": None, "t": datetime(2026, 1, 5, tzinfo=UTC),
    }  # fmt: skip
    found = client.query(
        "SELECT {n:UInt8} + 1, {s:String}, {a:Array(String)}, {e:Nullable(String)},"
        " {t:DateTime('UTC')}",
        parameters=values,
        tz_mode="aware",
    ).result_rows[0]
    assert found == (4, values["s"], values["a"], None, datetime(2026, 1, 5, tzinfo=UTC))


def test_long_parameters_travel_in_a_form(client: Client) -> None:
    text = "x" * 40_000
    found = client.query("SELECT length({s:String})", parameters={"s": text})
    assert found.result_rows == [(40_000,)]


def test_streams(client: Client) -> None:
    with client.query_rows_stream("SELECT number FROM numbers(250000)") as rows:
        assert sum(row[0] for row in rows) == sum(range(250_000))
    with client.query_column_block_stream("SELECT number FROM numbers(10)") as blocks:
        assert [list(block[0]) for block in blocks] == [list(range(10))]


def test_frames_and_arrow(client: Client) -> None:
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(3)"
    assert client.query_df(sql).to_dict("list") == {"n": [0, 1, 2], "s": ["0", "1", "2"]}
    table = client.query_arrow(sql, use_strings=True)
    assert table.to_pydict() == {"n": [0, 1, 2], "s": ["0", "1", "2"]}
    assert table.schema.field("s").type == pa.string()
    with client.query_arrow_stream(sql) as tables:
        assert sum(one.num_rows for one in tables) == 3


def test_raw_queries_commands_and_metadata(client: Client) -> None:
    assert json.loads(client.raw_query("SELECT 1 AS x", fmt="JSON"))["data"] == [{"x": 1}]
    assert client.raw_query("SELECT 1, 'a'", fmt="CSV") == b'1,"a"\n'
    assert client.command("SELECT count() FROM segments") == 0
    assert client.command("SHOW TABLES")
    assert client.command("EXISTS TABLE signals") == 1
    assert client.query("SELECT * FROM segments LIMIT 0").column_names[0] == "analysis_id"
    assert client.ping()
    assert client.server_version.startswith("26.")


def test_inserts(running: Running, client: Client) -> None:
    columns = ["Timestamp", "Body", "LogAttributes", "EventName"]
    rows = [[NOW, f"a\n\nDROP TABLE otel_logs {n}", {"k": str(n)}, "client"] for n in range(5000)]
    summary = client.insert("otel_logs", rows, column_names=columns)
    assert summary.written_rows == 5000
    frame = pd.DataFrame({"Body": ["frame 1", "frame 2"], "EventName": ["client", "client"]})
    client.insert_df("otel_logs", frame)
    table = pa.table({"Body": ["arrow"], "EventName": ["client"]})
    client.insert_arrow("otel_logs", table)
    client.raw_insert("otel_logs", ["Body", "EventName"], b'"raw","client"\n', fmt="CSV")
    client.raw_insert(
        "otel_logs", ["Body", "EventName"], gzip.compress(b'{"Body":"json","EventName":"client"}'),
        fmt="JSONEachRow", compression="gzip",
    )  # fmt: skip
    found = running.store.query(
        "SELECT left(Body, 5) AS b, count() FROM otel_logs WHERE EventName = 'client'"
        " GROUP BY b ORDER BY b"
    )
    assert found == [("a\n\nDR", 5000), ("arrow", 1), ("frame", 2), ("json", 1), ("raw", 1)]


def test_errors_keep_their_code(client: Client) -> None:
    for sql, code, name in (
        ("SELECT nope", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("DROP TABLE signals", 497, "ACCESS_DENIED"),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.query(sql)
        assert (caught.value.code, caught.value.name) == (code, name)
    with pytest.raises(DatabaseError, match="Rows are not taken in the format Values"):
        client.command("INSERT INTO otel_logs (Body) VALUES ('x')")
    with pytest.raises(ClickHouseError, match="into otel_logs, otel_metrics_sum, otel_traces only"):
        client.insert("segments", [["a"]], column_names=["analysis_id"])


def test_an_answer_that_fails_in_the_middle_says_so(client: Client) -> None:
    def read_all() -> None:
        with client.query_rows_stream("SELECT repeat('x', 1000) FROM numbers(30000)") as rows:
            list(rows)

    with pytest.raises(StreamFailureError, match="longer than 20000000 bytes"):
        read_all()
    assert client.query("SELECT 7").result_rows == [(7,)]


def test_settings(client: Client) -> None:
    quoted = client.raw_query(
        "SELECT toUInt64(1) AS x FORMAT JSONEachRow",
        settings={"output_format_json_quote_64bit_integers": 1},
    )
    assert json.loads(quoted) == {"x": "1"}
    with pytest.raises(DatabaseError, match="allow_ddl"):
        client.query("SELECT 1", settings={"allow_ddl": 1})
    with pytest.raises(DatabaseError, match="max rows"):
        client.query("SELECT number FROM numbers(100)", settings={"max_result_rows": 10})


# -- plain HTTP


def test_ping_needs_no_token(running: Running) -> None:
    for method in ("GET", "HEAD"):
        answer = running.ask(method=method, path="/ping", role="nobody")
        assert answer.status == 200
        assert answer.body == (b"Ok.\n" if method == "GET" else b"")


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ({"Authorization": "Basic " + base64.b64encode(b"any:reader-token").decode()}, {}),
        ({"Authorization": "Bearer reader-token"}, {}),
        ({"X-ClickHouse-User": "any", "X-ClickHouse-Key": "reader-token"}, {}),
        ({}, {"user": "any", "password": "reader-token"}),
    ],
)
def test_tokens_are_found_where_clients_put_them(
    running: Running, headers: dict[str, str], parameters: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.endpoint.port, timeout=10)
    query = urlencode({"query": "SELECT 1", **parameters})
    connection.request("GET", f"/?{query}", headers=headers)
    assert connection.getresponse().read() == b"1\n"
    connection.close()


def test_without_a_token_nothing_is_answered(running: Running) -> None:
    answer = running.ask("SELECT 1", "nobody")
    assert (answer.status, answer.code) == (403, 516)
    assert "(AUTHENTICATION_FAILED)" in answer.text
    broken = running.ask("SELECT 1", headers={"Authorization": "Basic %%%"})
    assert (broken.status, broken.code) == (403, 516)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8123"},
        {"Host": "localhost", "Origin": "http://evil.example"},
        {"Host": "localhost", "Origin": "null"},
        {"Host": "localhost", "Origin": "http://localhost:8080"},
    ],
)
def test_other_hosts_and_web_pages_are_refused(running: Running, headers: dict[str, str]) -> None:
    for path in ("/", "/ping"):
        assert running.ask("SELECT 1", path=path, headers=headers).status == 403


def test_answers_carry_clickhouses_headers(running: Running) -> None:
    answer = running.ask("SELECT 1 AS x FORMAT JSONCompact", query_id="mine-1")
    assert answer.headers["x-clickhouse-server-display-name"] == "mlp-analyzer"
    assert answer.headers["x-clickhouse-query-id"] == "mine-1"
    assert answer.headers["x-clickhouse-format"] == "JSONCompact"
    assert answer.headers["x-clickhouse-timezone"] == "UTC"
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "0"
    assert answer.headers["content-type"].startswith("application/json")
    strange = running.ask("SELECT 1", query_id="a\r\nX-Evil: 1")
    assert "x-evil" not in strange.headers
    assert strange.status == 200


def test_query_in_the_url_and_get_changes_nothing(running: Running) -> None:
    assert running.ask(method="GET", query="SELECT 1").text == "1\n"
    assert running.ask("1 + 1", query="SELECT").text == "2\n"
    answer = running.ask(
        method="GET", query='INSERT INTO otel_logs FORMAT JSONEachRow {"Body":"x"}'
    )
    assert (answer.status, answer.code) == (403, 164)


def test_formats_out(running: Running) -> None:
    sql = "SELECT number AS n, 'a' AS s FROM numbers(2)"
    asked = {
        fmt: running.ask(sql, default_format=fmt).body
        for fmt in ("CSVWithNames", "TSV", "Parquet", "ArrowStream", "RowBinary", "JSONEachRow")
    }
    assert asked["CSVWithNames"] == b'"n","s"\n0,"a"\n1,"a"\n'
    assert asked["TSV"] == b"0\ta\n1\ta\n"
    assert pq.read_table(io.BytesIO(asked["Parquet"])).num_rows == 2
    assert pa.ipc.open_stream(asked["ArrowStream"]).read_all().num_rows == 2
    assert asked["RowBinary"] == struct.pack("<QBsQBs", 0, 1, b"a", 1, 1, b"a")
    assert asked["JSONEachRow"] == b'{"n":0,"s":"a"}\n{"n":1,"s":"a"}\n'
    assert running.ask(sql, default_format="Nonsense").code == 73


def test_clickhouses_own_compression(running: Running) -> None:
    asked = running.ask(
        compress_frames(b"SELECT number FROM numbers(300000)"), compress="1", decompress="1"
    )
    lines = decompress_frames(asked.body, 10_000_000).split()
    assert len(lines) == 300_000
    broken = running.ask(compress_frames(b"SELECT 1")[:-1], decompress="1")
    assert (broken.status, broken.code) == (400, 271)


def test_bodies_have_a_limit(running: Running) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    answer = running.ask(
        bomb, query="INSERT INTO otel_logs FORMAT Native", headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 413


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"database": "otel"}, 81),
        ({"max_threads_of_mine": "1"}, 115),
        ({"max_result_rows": "x"}, 36),
    ],
)
def test_bad_parameters_are_named(running: Running, parameters: dict[str, str], code: int) -> None:
    answer = running.ask("SELECT 1", **parameters)
    assert answer.code == code
    assert next(iter(parameters)) in answer.text or parameters.get("database", "") in answer.text


def test_answers_too_large_to_hold_are_refused_before_they_are_made(running: Running) -> None:
    sql = "SELECT repeat('x', 1000) FROM numbers(19000)"
    for fmt in ("JSON", "Arrow"):
        answer = running.ask(sql, default_format=fmt)
        assert (answer.status, answer.code) == (413, 290), fmt
        assert "a format that streams" in answer.text
    assert len(running.ask(sql, default_format="TSV").body) == 19_019_000


# -- the writer


def native_logs(bodies: list[str], *, timestamps: list[str] | None = None) -> bytes:
    """Return a Native block as an exporter sends it; timestamps as text to make bad ones."""

    def string(text: str) -> bytes:
        data = text.encode()
        assert len(data) < 128
        return bytes([len(data)]) + data

    columns = [("Body", bodies), ("EventName", ["writer"] * len(bodies))]
    if timestamps is not None:
        columns.append(("Timestamp", timestamps))
    block = bytes([len(columns), len(bodies)])
    for name, values in columns:
        block += string(name) + string("String") + b"".join(map(string, values))
    return block


def insert_as_writer(running: Running, body: bytes, columns: str = "Body, EventName"):
    statement = f'INSERT INTO "default"."otel_logs" ({columns}) FORMAT Native'
    return running.ask(body, "writer", query=statement, async_insert="1")


def test_the_writer_does_what_the_exporter_does(running: Running) -> None:
    assert running.ask("SELECT 1", "writer").text == "1\n"
    described = running.ask('DESC TABLE "default"."otel_logs"', "writer", default_format="TSV")
    assert {line.count("\t") for line in described.text.splitlines()} == {6}
    for sql in (
        'CREATE DATABASE IF NOT EXISTS "otel"',
        "CREATE TABLE IF NOT EXISTS otel_logs (x Int8) ENGINE = MergeTree ORDER BY x",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO t AS SELECT 1",
    ):
        answer = running.ask(sql, "writer")
        assert (answer.status, answer.body) == (200, b"")
    assert running.ask("EXISTS TABLE v").text == "0\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 2",
        "SELECT * FROM otel_logs",
        "SELECT 1 FROM otel_logs",
        "SELECT 1; SELECT 2",
        "SHOW TABLES",
        "DESCRIBE TABLE file('/etc/hostname')",
        "DESCRIBE TABLE (SELECT * FROM otel_logs)",
        "CREATE TABLE t (x Int8) ENGINE = Memory",
        "CREATE OR REPLACE TABLE otel_logs (x Int8) ENGINE = Memory",
        "DROP TABLE otel_logs",
        "INSERT INTO signals FORMAT Native",
        "INSERT INTO rejected FORMAT CSV\n1",
        "INSERT INTO otel_metrics_gauge FORMAT Native",
        "INSERT INTO otel_logs SELECT * FROM otel_logs",
        "INSERT INTO FUNCTION file('x') FORMAT CSV",
    ],
)
def test_the_writer_does_nothing_else(running: Running, sql: str) -> None:
    answer = running.ask(sql, "writer")
    assert answer.status in (403, 501), answer.text


def test_readers_insert_and_create_nothing(running: Running) -> None:
    for sql in ("INSERT INTO otel_logs FORMAT CSV\n1", "CREATE TABLE IF NOT EXISTS t (x Int8)"):
        assert running.ask(sql, "reader").status == 403


def test_a_batch_sent_again_changes_nothing(running: Running) -> None:
    block = native_logs(["once", "once too"])
    for _ in range(3):
        answer = insert_as_writer(running, block)
        assert answer.status == 200
    assert running.store.query("SELECT count() FROM otel_logs WHERE startsWith(Body, 'once')") == [
        (2,)
    ]


def test_one_bad_row_is_rejected_and_the_others_stored(running: Running) -> None:
    stamps = ["2026-01-05 00:00:00", "no time at all", "2026-01-05 00:00:02"]
    block = native_logs(["good-1", "bad", "good-2"], timestamps=stamps)
    for _ in range(2):
        answer = insert_as_writer(running, block, "Body, EventName, Timestamp")
        assert answer.status == 200, answer.text
        assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "2"
    found = running.store.query("SELECT Body FROM otel_logs WHERE Body LIKE 'good-%' ORDER BY Body")
    assert found == [("good-1",), ("good-2",)]
    [(source, record)] = running.store.query(
        "SELECT source, record FROM rejected WHERE position(record, 'no time at all') > 0"
    )
    assert (source, json.loads(record)["Body"]) == ("logs", "bad")


def test_a_block_that_cannot_be_read_is_kept_as_rejected(running: Running) -> None:
    before = running.count("rejected")
    assert insert_as_writer(running, native_logs(["cut off"])[:-3]).status == 200
    assert running.count("rejected") == before + 1


def test_a_person_is_told_what_is_wrong_with_their_rows(running: Running) -> None:
    before = running.count("rejected")
    answer = running.ask('INSERT INTO otel_logs (Timestamp) FORMAT JSONEachRow\n{"Timestamp":"x"}')
    assert answer.status == 400
    assert answer.code != 0
    assert running.count("rejected") == before


def test_a_column_that_is_missing_is_the_exporters_error(running: Running) -> None:
    answer = insert_as_writer(running, native_logs(["x"]), "Body, EventName, Nothing")
    assert answer.status >= 400
    assert "Nothing" in answer.text


def test_many_clients_at_once(running: Running) -> None:
    def one(n: int) -> str:
        insert_as_writer(running, native_logs([f"parallel-{n}"]))
        return running.ask(f"SELECT {n}", "reader").text

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(one, range(60))) == [f"{n}\n" for n in range(60)]
    assert running.store.query(
        "SELECT uniqExact(Body) FROM otel_logs WHERE startsWith(Body, 'parallel')"
    ) == [(60,)]


def test_hello_is_one_block_for_the_clients_revision(running: Running) -> None:
    answer = running.ask(
        "SELECT displayName(), version(), revision(), timezone()",
        "writer",
        default_format="Native",
        client_protocol_version="54460",
    )
    assert answer.body.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01")
    assert b"\x08timezone\x28\x29"[1:] in answer.body
    assert answer.body.endswith(b"\x06String\x00\x03UTC")
    version = str(running.store.engine_version).encode()
    assert b"\x06String\x00" + bytes([len(version)]) + version in answer.body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT version()",
        "SELECT currentDatabase()",
        "SELECT database, name FROM system.tables ORDER BY database, name",
        "SELECT database, table, name, type, comment FROM system.columns"
        " WHERE (database, table) IN (('default', 'segments')) ORDER BY database, table, position",
        'DESCRIBE TABLE "default"."segments"',
        'DESC TABLE "default"."segments"',
        "SHOW DATABASES",
        "SELECT name FROM system.databases",
        "SHOW TABLES FROM default",
        "SHOW TABLES FROM `default`",
        "SELECT toStartOfInterval(computed_time, INTERVAL 60 second) AS time, count() FROM (SELECT"
        " toDateTime('2026-01-05 09:00:00') AS computed_time) WHERE computed_time >="
        " toDateTime(1767000000) AND computed_time <= toDateTime(1768000000) GROUP BY time"
        " ORDER BY time ASC LIMIT 1000",
    ],
)
def test_grafanas_questions(running: Running, sql: str) -> None:
    # Its data source is clickhouse-go over HTTP, with gzip; the driver itself is tested apart.
    answer = running.ask(
        sql,
        "reader",
        headers={"Accept-Encoding": "gzip"},
        default_format="Native",
        enable_http_compression="1",
        max_execution_time="60",
        limit="1000",
    )
    assert answer.status == 200, answer.text
    assert gzip.decompress(answer.body)


def test_a_limit_on_rows_cuts_the_answer(running: Running) -> None:
    assert running.ask("SELECT number FROM numbers(9)", "reader", limit="2").text == "0\n1\n"
    asked = running.ask("SELECT number FROM numbers(9)", limit="2", default_format="JSON")
    assert json.loads(asked.body)["rows"] == 2


def test_jdbcs_first_question(running: Running) -> None:
    user = running.ask(
        "select currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
        "reader",
        default_format="RowBinaryWithNamesAndTypes",
    )
    assert user.status == 200
