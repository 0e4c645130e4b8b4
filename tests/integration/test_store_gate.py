"""The gate against people who try."""

from __future__ import annotations

import gc
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer_service.errors import (
    AnalyzerError,
    QueryFailedError,
    QueryLimitError,
    QueryRefusedError,
)
from analyzer_service.store.connect import QueryLimits, Store, open_store
from analyzer_service.store.gate import Gate
from analyzer_service.store.tree import is_allowed

SECRET = "the-secret-in-the-file"

# Where a function can stand. Each must be refused with a function that reads a host file.
POSITIONS = [
    "SELECT {f}",
    "SELECT {f} AS count",
    "SELECT `file`('{path}')",
    "SELECT \"file\"('{path}')",
    "SELECT FiLe('{path}')",
    "SELECT /* harmless */ file /* ( */ ('{path}') -- done",
    "SELECT file/*/* nested */*/('{path}')",
    "WITH {f} AS f SELECT f",
    "WITH f AS (SELECT {f} AS x) SELECT x FROM f",
    "WITH RECURSIVE r AS (SELECT 1 AS n, {f} AS x UNION ALL SELECT n + 1, x FROM r WHERE n < 2) SELECT x FROM r",
    "WITH 'x' AS y SELECT (SELECT {f})",
    "SELECT * FROM (SELECT {f} AS x)",
    "SELECT 1 FROM numbers(1) WHERE {f} != ''",
    "SELECT 1 FROM signals PREWHERE {f} != ''",
    "SELECT count() FROM numbers(1) GROUP BY {f}",
    "SELECT count() FROM numbers(1) GROUP BY GROUPING SETS (({f}), ())",
    "SELECT count() FROM numbers(1) HAVING {f} != ''",
    "SELECT number FROM numbers(1) ORDER BY {f}",
    "SELECT number FROM numbers(1) ORDER BY number WITH FILL FROM 0 TO length({f})",
    "SELECT number FROM numbers(1) ORDER BY number WITH FILL STEP length({f})",
    "SELECT number, 1 AS x FROM numbers(1) ORDER BY number WITH FILL TO 9 INTERPOLATE (x AS length({f}))",
    "SELECT number FROM numbers(9) LIMIT length({f})",
    "SELECT number FROM numbers(9) LIMIT 1 OFFSET length({f})",
    "SELECT number FROM numbers(9) LIMIT 1 BY {f}",
    "SELECT number FROM numbers(9) LIMIT length({f}) BY number",
    "SELECT DISTINCT ON ({f}) number FROM numbers(9)",
    "SELECT sum(number) OVER (PARTITION BY {f}) FROM numbers(1)",
    "SELECT sum(number) OVER (ORDER BY {f}) FROM numbers(1)",
    "SELECT sum(number) OVER (ORDER BY number ROWS length({f}) PRECEDING) FROM numbers(1)",
    "SELECT sum(number) OVER w FROM numbers(1) WINDOW w AS (PARTITION BY {f})",
    "SELECT number FROM numbers(1) QUALIFY row_number() OVER () = length({f})",
    "SELECT arrayMap(x -> {f}, [1])",
    "SELECT arrayFilter((x, y) -> {f} != '', [1], [2])",
    "SELECT [{f}]",
    "SELECT ({f}, 1)",
    "SELECT ({f}, 1).1",
    "SELECT map('a', {f})",
    "SELECT CASE WHEN 1 THEN {f} ELSE '' END",
    "SELECT 1 IN ({f})",
    "SELECT 'x' IN (SELECT {f})",
    "SELECT 'a' BETWEEN {f} AND 'z'",
    "SELECT CAST({f} AS String)",
    "SELECT {f}::String",
    "SELECT INTERVAL length({f}) DAY",
    "SELECT EXISTS (SELECT {f})",
    "SELECT quantile(length({f}))(number) FROM numbers(1)",
    "SELECT groupArrayIf({f}, 1) FROM numbers(1)",
    "SELECT * REPLACE ({f} AS number) FROM numbers(1)",
    "SELECT COLUMNS('n') REPLACE ({f} AS number) FROM numbers(1)",
    "SELECT path FROM (SELECT '{path}' AS path) AS t ARRAY JOIN [{f}] AS x",
    "SELECT 1 FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = b.number AND {f} != ''",
    "SELECT * FROM numbers(length({f}))",
    "SELECT * FROM values('x String', {f})",
    "SELECT 1 UNION ALL SELECT length({f})",
    "SELECT 1 INTERSECT SELECT length({f})",
    "SELECT 1 EXCEPT SELECT length({f})",
    "SELECT * APPLY(file) FROM (SELECT '{path}')",
    "SELECT COLUMNS('.*') APPLY file FROM (SELECT '{path}' AS x)",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '{path}')",
    "SELECT t.* APPLY(file) FROM (SELECT '{path}') AS t",
    "SELECT arrayMap(file, ['{path}'])",
    "SELECT arrayFilter(file, ['{path}'])",
    "SELECT arrayMap(`file`, ['{path}'])",
    "SELECT arrayMap(x -> arrayMap(FILE, [x]), ['{path}'])",
    "SELECT mapApply(file, map('{path}', '{path}'))",
    "WITH file AS f SELECT arrayMap(f, ['{path}'])",
    "SELECT arrayMap(g, ['{path}']) FROM (SELECT file AS g)",
    "SELECT 1 WHERE arrayExists(file, ['{path}'])",
    "SELECT arrayFold(file, ['{path}'], '')",
    "FROM numbers(1) SELECT {f}",
    "({f})",
    "EXPLAIN SELECT {f}",
    "SELECT * FROM (EXPLAIN SYNTAX SELECT {f})",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT {f}))",
    "SELECT * FROM view(SELECT {f})",
    "SELECT evalMLMethod({f}, 1)",
]

# Statements, table functions and functions that reach out of our tables.
HOSTILE = [
    # writing files
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO OUTFILE '{out}' TRUNCATE FORMAT CSV",
    "SELECT 1 INTO OUTFILE '{out}' AND STDOUT",
    "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{out}'",
    "(SELECT 1) INTO OUTFILE '{out}'",
    "SELECT * FROM (SELECT 1 INTO OUTFILE '{out}')",
    "WITH x AS (SELECT 1 INTO OUTFILE '{out}') SELECT * FROM x",
    "SELECT (SELECT 1 INTO OUTFILE '{out}')",
    "SELECT 1) INTO OUTFILE '{out}' --",
    "SELECT 1) UNION ALL (SELECT 2",
    "INSERT INTO FUNCTION file('{out}', 'CSV') SELECT 1",
    "INSERT INTO TABLE FUNCTION file('{out}', 'CSV', 'x Int8') VALUES (1)",
    "BACKUP TABLE signals TO File('{out}')",
    # reading files and other systems
    "SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT * FROM file('{path}')",
    "SELECT * FROM fileCluster('c', '{path}')",
    "SELECT * FROM filesystem('/')",
    "SELECT * FROM `{path}`",
    "SELECT * FROM '{path}'",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')",
    "SELECT * FROM urlCluster('c', 'http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/k')",
    "SELECT * FROM gcs('http://127.0.0.1:1/b/k')",
    "SELECT * FROM azureBlobStorage('x', 'y', 'z')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'x String')",
    "SELECT * FROM iceberg('http://127.0.0.1:1/')",
    "SELECT * FROM deltaLake('http://127.0.0.1:1/')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:1', system, one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM clusterAllReplicas('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'x Int8')",
    "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
    "SELECT * FROM sqlite('{path}', 't')",
    "SELECT * FROM odbc('DSN=x', 't')",
    "SELECT * FROM jdbc('jdbc:x', 't')",
    "SELECT * FROM executable('id', 'TSV', 'x String')",
    "SELECT * FROM python('x')",
    "SELECT * FROM Python(open)",
    "SELECT * FROM input('x String')",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM merge('.*')",
    "SELECT * FROM dictionary('signal_map_rule')",
    "SELECT * FROM loop(system.one)",
    "SELECT * FROM mergeTreeIndex(currentDatabase(), signals)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM generateRandom('x String')",
    "SELECT * FROM fuzzQuery('SELECT 1')",
    "SELECT * FROM arrowstream('x')",
    # the engine's insides
    "SELECT getSetting('readonly')",
    "SELECT getServerSetting('max_connections')",
    "SELECT getMacro('x')",
    "SELECT hostName()",
    "SELECT FQDN()",
    "SELECT currentUser()",
    "SELECT serverUUID()",
    "SELECT tcpPort()",
    "SELECT filesystemAvailable()",
    "SELECT addressToLine(1)",
    "SELECT demangle('x')",
    "SELECT showCertificate()",
    "SELECT getOSKernelVersion()",
    "SELECT joinGet('signals', 'stage', 1)",
    "SELECT dictGet('signal_map_rule', 'stage', toUInt64(1))",
    "SELECT aiGenerate('x', 'y')",
    "SELECT structureToProtobufSchema('x String')",
    "SELECT generateSerialID('x')",
    "SELECT __getScalar('x')",
    "SELECT formatRow('CSV', 1)",
    "SELECT formatQuery('SELECT 1')",
    "SELECT logTrace('x')",
    "SELECT * FROM system.users",
    "SELECT * FROM system.settings",
    "SELECT * FROM system.processes",
    "SELECT * FROM system.disks",
    "SELECT * FROM system.grants",
    "SELECT * FROM `system`.`settings`",
    "SELECT 1 FROM system.one WHERE dummy IN system.settings",
    "SELECT 1 IN (system.settings)",
    "SELECT (SELECT count() FROM system.settings)",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM INFORMATION_SCHEMA.COLUMNS",
    "SELECT * FROM elsewhere.signals",
    # waiting
    "SELECT sleep(3)",
    "SELECT arrayMap(sleep, [3])",
    "SELECT * FROM zeros(10)",
    "SELECT arrayReduce('file', ['{path}'])",
    "SELECT * FROM _temporary_and_external_tables.x",
    "SELECT sleepEachRow(1) FROM numbers(100)",
    "SELECT SLEEP(1)",
    # changing
    "INSERT INTO signals SELECT * FROM signals",
    "INSERT INTO rejected (source) VALUES ('x')",
    "CREATE TABLE t (x Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE t (x Int8)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER u",
    "ALTER TABLE signals DELETE WHERE 1",
    "DELETE FROM signals WHERE 1",
    "UPDATE signals SET stage = '' WHERE 1",
    "DROP TABLE signals",
    "TRUNCATE TABLE signals",
    "RENAME TABLE signals TO x",
    "DETACH TABLE signals",
    "OPTIMIZE TABLE signals FINAL",
    "SYSTEM STOP MERGES",
    "SYSTEM SHUTDOWN",
    "SYSTEM RELOAD CONFIG",
    "KILL QUERY WHERE 1",
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "USE system",
    "GRANT ALL ON *.* TO default",
    "EXPLAIN SELECT 1",
    "CHECK TABLE signals",
    "SHOW CREATE TABLE signals",
    "SHOW PROCESSLIST",
    "SHOW SETTINGS LIKE 'max%'",
    "DESCRIBE TABLE file('{path}')",
    "DESCRIBE TABLE system.users",
    "WATCH x",
    "EXECUTE AS default SELECT 1",
    "BEGIN TRANSACTION",
    # several at once
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE signals",
    "SELECT 1;; DROP TABLE signals",
    "SELECT 1 -- x\n; DROP TABLE signals",
    "SELECT 1 /* ; */; DROP TABLE signals",
    "SELECT 1\n\nDROP TABLE signals",
    "INSERT INTO rejected FORMAT CSV\n1\n\nDROP TABLE signals",
    # output and settings
    "SELECT 1 FORMAT CSV",
    "SELECT 1 FORMAT Null",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_threads = 99)",
    "SELECT * FROM signals SETTINGS final = 0",
    "SELECT {{q:String}}",
    # rubbish
    "",
    ";",
    "-- nothing",
    "/* /* */",
    "SELECT '",
    "SELECT 1 \0",
    "\ud800",
    "(" * 5000 + "SELECT 1" + ")" * 5000,
    "SELECT " + "-" * 1 + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "[" * 3000 + "]" * 3000,
    "SELECT '" + "x" * 70_000 + "'",
    # hiding nodes of the tree behind names with line breaks
    "SELECT file('{path}') AS \"x\n Literal 1\"",
    "SELECT 1 AS \"a\n  ColumnsApplyTransformer\", * APPLY(file) FROM (SELECT '{path}')",
]

FRIENDLY = [
    "SELECT 1",
    "SELECT 1;",
    "SELECT 1 -- the end",
    "SELECT 1 /* a /* nested */ comment */",
    "select count() from signals",
    "FROM signals SELECT count()",
    "(SELECT 1)",
    "SELECT * FROM signals FINAL LIMIT 1",
    "SELECT stage, uniqExact(user_key) AS users FROM signals GROUP BY stage ORDER BY users DESC",
    "SELECT * EXCEPT (facets) FROM signals LIMIT 1",
    "SELECT COLUMNS('_time$') FROM signals LIMIT 1",
    "SELECT s.* FROM signals AS s LIMIT 1",
    "SELECT SpanAttributes['mlp.stage'] AS stage, count() FROM otel_traces GROUP BY ALL",
    "SELECT toStartOfHour(event_time) AS hour, countIf(outcome = 'error') / count() FROM signals GROUP BY hour",
    "SELECT quantileExact(0.5)(duration_ns), quantilesTDigestIf(0.5, 0.9)(duration_ns, 1) FROM signals",
    "SELECT sumMap(map('a', 1)), finalizeAggregation(uniqStateIf(1, 1)), argMaxOrNull(1, 2), groupUniqArrayArray([1])",
    "WITH busy AS (SELECT user_key, count() AS n FROM signals GROUP BY user_key) SELECT max(n) FROM busy",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
    "SELECT number, sum(number) OVER (ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM numbers(3)",
    "SELECT row_number() OVER w, lag(number) OVER w FROM numbers(3) WINDOW w AS (ORDER BY number)",
    "SELECT number FROM numbers(3) QUALIFY row_number() OVER (ORDER BY number DESC) = 1",
    "SELECT a.number FROM numbers(3) AS a LEFT JOIN numbers(2) AS b ON a.number = b.number",
    "SELECT * FROM numbers(2) AS a ASOF JOIN numbers(2) AS b ON a.number = b.number AND a.number >= b.number",
    "SELECT x FROM numbers(1) ARRAY JOIN [1, 2] AS x",
    "SELECT arrayMap(x -> x * 2, [1, 2]), arrayFold((a, x) -> toUInt64(a + x), [1, 2], toUInt64(0)), arrayJoin([1])",
    "SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, 1 BETWEEN 0 AND 2, 'a' LIKE '%', NOT 1, -1, 1 IN (1, 2)",
    "SELECT 1 IN (SELECT number FROM numbers(3)), EXISTS (SELECT 1), (SELECT max(number) FROM numbers(3))",
    "SELECT CAST('1' AS UInt8), '1'::UInt8, toDate('2026-01-05') + INTERVAL 1 DAY, DATE '2026-01-05'",
    "SELECT toStartOfInterval(now(), INTERVAL 5 MINUTE) <= now(), dateDiff('day', today(), today())",
    "SELECT JSONExtractString('{{\"a\": \"b\"}}', 'a'), JSON_VALUE('{{\"a\": 1}}', '$.a')",
    "SELECT extract('a1', '\\\\d'), replaceRegexpAll('a', 'a', 'b'), splitByChar(',', 'a,b'), format('{{}}', 1)",
    "SELECT number FROM numbers(9) ORDER BY number DESC LIMIT 1 BY number % 3 LIMIT 2 OFFSET 1",
    "SELECT number FROM numbers(3) ORDER BY number WITH FILL TO 9 STEP 2",
    "SELECT number % 2 AS k, count() FROM numbers(9) GROUP BY k WITH TOTALS",
    "SELECT number % 2 AS k, grouping(k) FROM numbers(9) GROUP BY ROLLUP(k)",
    "SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3",
    "SELECT 1 INTERSECT SELECT 1",
    "SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y'))",
    "SELECT * FROM generate_series(1, 3)",
    "SELECT name FROM system.tables WHERE database = currentDatabase()",
    "SELECT name, type FROM system.columns WHERE table = 'signals'",
    "SELECT sum(rows) FROM system.parts WHERE active",
    "SELECT system.one.dummy FROM system.one",
    "SELECT count() FROM default.signals",
    "SELECT count() FROM mlp_error",
    "SELECT * FROM signal_map_rule LIMIT 1",
    "SELECT 1, 1",
    "SELECT lower(hex(user_key)) AS user, count() FROM signals GROUP BY user ORDER BY length(user)",
    "SELECT arrayMap(negate, [1, 2]), arrayMap(upper, ['a'])",
    "SELECT 'a;b', 'it''s', $$here; doc$$",
    "SELECT 1 AS `odd name`",
    "SELECT hex('x'), unhex('ff'), nan, inf, 18446744073709551615, NULL, [NULL], (1, 'a'), map('k', 1)",
    "SHOW TABLES",
    "DESCRIBE signals",
    "DESC TABLE signals;",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    from analyzer_service.store.migrations import migrate

    with open_store(f"chdb://{tmp_path_factory.mktemp('gate')}", engine_threads=2) as opened:
        migrate(opened)
        yield opened


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("host") / "secret.txt"
    path.write_text(SECRET)
    return path


def rows(store: Store, sql: str, **limits: float) -> list[object]:
    with store.ask(sql, limits=QueryLimits(**limits)) as answer:  # type: ignore[arg-type]
        return [json.loads(row) for row in answer]


def test_the_engine_itself_would_read_the_file(store: Store, secret_file: Path) -> None:
    assert store.query(f"SELECT file('{secret_file}')") == [(SECRET,)]


@pytest.mark.parametrize("template", POSITIONS)
def test_no_position_lets_a_function_read_files(
    store: Store, secret_file: Path, template: str
) -> None:
    sql = template.format(f=f"file('{secret_file}')", path=secret_file)
    with pytest.raises((QueryRefusedError, QueryFailedError)) as caught:
        rows(store, sql)
    assert SECRET not in str(caught.value)
    # Where it parses, it is the gate that refuses and not the engine that happens to fail.
    if isinstance(caught.value, QueryFailedError):
        assert "SYNTAX_ERROR" in str(caught.value)


@pytest.mark.parametrize("template", HOSTILE)
def test_hostile_queries_are_refused(
    store: Store, secret_file: Path, tmp_path: Path, template: str
) -> None:
    before = store.query("SELECT count() FROM system.tables WHERE database = 'default'")
    out = tmp_path / "out.csv"
    sql = template.replace("{path}", str(secret_file)).replace("{out}", str(out))
    started = time.monotonic()
    with pytest.raises((QueryRefusedError, QueryFailedError, QueryLimitError)) as caught:
        rows(store, sql.replace("{{", "{").replace("}}", "}"))
    assert time.monotonic() - started < 60  # ungated, it would not end at all
    assert SECRET not in str(caught.value)
    assert not out.exists()
    assert store.query("SELECT count() FROM system.tables WHERE database = 'default'") == before


@pytest.mark.parametrize("template", FRIENDLY)
def test_friendly_queries_pass(store: Store, template: str) -> None:
    with store.ask(template.replace("{{", "{").replace("}}", "}")) as answer:
        width = len(answer.columns)
        assert all(len(json.loads(row)) == width for row in answer)


def test_rows_come_typed_named_and_in_order(store: Store) -> None:
    answer = store.ask("SELECT number AS n, toString(number) AS s FROM numbers(3) ORDER BY n DESC")
    assert [(column.name, column.type) for column in answer.columns] == [
        ("n", "UInt64"),
        ("s", "String"),
    ]
    assert [json.loads(row) for row in answer] == [[2, "2"], [1, "1"], [0, "0"]]


def test_order_survives_many_threads(store: Store) -> None:
    found = rows(store, "SELECT number FROM numbers_mt(300000) ORDER BY number DESC")
    assert found == [[number] for number in range(299_999, -1, -1)]


def test_values_json_has_no_word_for(store: Store) -> None:
    assert rows(store, "SELECT nan, 18446744073709551615, unhex('ff'), 'a\\nb', NULL") == [
        [None, 18446744073709551615, "\ufffd", "a\nb", None]
    ]


def test_readers_see_every_row_once(store: Store) -> None:
    for _ in range(2):
        store.insert_rows("otel_traces", ["TraceId", "SpanId"], [("t", "s")], token=None)
        store.execute("SYSTEM STOP MERGES otel_traces")
    store.execute(
        "INSERT INTO otel_traces (TraceId, SpanId, StatusMessage) VALUES ('t', 's', 'again')"
    )
    store.execute("SYSTEM START MERGES otel_traces")
    assert rows(store, "SELECT count() FROM otel_traces") == [[1]]
    store.execute("TRUNCATE TABLE otel_traces")


@pytest.mark.parametrize(
    ("sql", "limits"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(rand())", {"seconds": 0.3}),
        ("SELECT sum(sipHash64(number)) FROM numbers_mt(1000000000000)", {"seconds": 0.3}),
        ("SELECT number FROM numbers(1000000000)", {"result_rows": 1000}),
        ("SELECT repeat('x', 1000) FROM numbers(100000)", {"result_bytes": 100_000}),
        ("SELECT length(groupArray(number)) FROM numbers(100000000)", {"memory_bytes": 50_000_000}),
        ("SELECT uniqExact(number) FROM numbers(100000000)", {"memory_bytes": 50_000_000}),
        ("SELECT count() FROM numbers(100000) AS a CROSS JOIN numbers(100000000) AS b WHERE rand() = 1", {"seconds": 0.3}),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count() FROM r",
            {"seconds": 0.3},
        ),
    ],
)  # fmt: skip
def test_limits_end_a_query(store: Store, sql: str, limits: dict[str, float]) -> None:
    started = time.monotonic()
    with pytest.raises(QueryLimitError):
        rows(store, sql, **limits)
    assert time.monotonic() - started < 60  # without limits it would not end at all
    # Nothing of it is left to the next query, whichever handle that gets.
    for _ in range(3):
        assert rows(store, "SELECT 7", **limits) == [[7]]
    assert store.query("SELECT toUInt64(7)") == [(7,)]


def test_the_limit_on_rows_counts_the_answers_alone(store: Store) -> None:
    # A fresh gate: what it asks about the engine is asked once.
    gate, limits = Gate(store.handles, threads=2), QueryLimits(result_rows=1)
    for sql in ("SELECT 1 AS a, 2 AS b, 3 AS c", "SELECT 1, 2, 3 FROM (SELECT 4, 5)"):
        assert list(gate.ask(sql, limits)) == ["[1, 2, 3]"]
    with pytest.raises(QueryLimitError):
        list(gate.ask("SELECT 1 UNION ALL SELECT 2", limits))


def test_exponential_aliases_are_refused(store: Store) -> None:
    aliases = ", ".join(f"(x{n}, x{n}) AS x{n + 1}" for n in range(40))
    with pytest.raises(AnalyzerError) as caught:
        rows(store, f"WITH 1 AS x0, {aliases} SELECT x40")
    assert isinstance(caught.value, QueryLimitError | QueryFailedError)


def test_too_long_a_text_is_refused(store: Store) -> None:
    with pytest.raises(QueryRefusedError, match="65547 bytes long; the limit is 65536"):
        store.ask("SELECT '" + "x" * 65_538 + "'")


def test_an_answer_may_be_left_early(store: Store) -> None:
    for ending in ("close", "drop", "context"):
        answer = store.ask("SELECT number FROM numbers(900000)")
        assert list(itertools.islice(answer, 3)) == ["[0]", "[1]", "[2]"]
        if ending == "close":
            answer.close()
            assert list(answer) == []
        elif ending == "context":
            with answer:
                pass
        del answer
        gc.collect()
        assert rows(store, "SELECT 8") == [[8]]


def test_a_trusted_handle_is_not_read_only_after_a_question(store: Store) -> None:
    assert rows(store, "SELECT 1") == [[1]]
    store.insert_rows("rejected", ["source"], [("gate",)])
    assert store.query("SELECT count() FROM rejected WHERE source = 'gate'")[0][0] >= 1


def test_error_messages_are_the_engines_without_its_insides(
    store: Store, secret_file: Path
) -> None:
    with pytest.raises(QueryFailedError) as caught:
        rows(store, "SELECT nonsense FROM signals")
    text = str(caught.value)
    assert "nonsense" in text
    for inside in ("formatRow", "In scope", "Stack trace", "version", "DB::Exception"):
        assert inside not in text


def test_what_is_refused_is_named(store: Store) -> None:
    with pytest.raises(QueryRefusedError, match="function url "):
        store.ask("SELECT * FROM url('http://x')")
    with pytest.raises(QueryRefusedError, match=r"system\.users"):
        store.ask("SELECT * FROM system.users")
    with pytest.raises(QueryRefusedError, match="SETTINGS clause"):
        store.ask("SELECT 1 SETTINGS max_threads = 1")


@pytest.mark.parametrize("name", ["sumIf", "SUMIF", "uniqExactStateIf", "countDistinctOrNull"])
def test_combinators_of_allowed_functions_are_allowed(name: str) -> None:
    assert is_allowed(name)


@pytest.mark.parametrize("name", ["fileIf", "file", "if_", "State", "urlArray", "sleepOrNull", ""])
def test_combinators_do_not_hide_others(name: str) -> None:
    assert not is_allowed(name)
