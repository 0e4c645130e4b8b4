"""The store on the real engine: types, hazards, ownership."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.lock import LOCK_NAME

BLANK_LINE = b"\n\nDROP TABLE t;"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connect")


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    with open_store(f"chdb://{folder / 'store'}", engine_threads=2) as opened:
        yield opened


@pytest.fixture
def table(store: Store) -> Iterator[Store]:
    store.execute(
        "CREATE OR REPLACE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    yield store
    store.execute("DROP TABLE t")


def row_binary(rows: list[tuple[int, bytes]]) -> bytes:
    return b"".join(a.to_bytes(8, "little") + bytes([len(s)]) + s for a, s in rows)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# what comes back


def test_rows_have_python_values_in_utc(store: Store) -> None:
    [row] = store.query(
        "SELECT toDateTime64('2026-01-05 10:00:00.25', 9, 'UTC'), toDate('2026-01-05'),"
        " toFixedString('ab', 4), toLowCardinality('x'), map('a', 1), [1], NULL, true, toDateTime('2026-01-05 01:02:03')"
    )
    assert row == (
        datetime(2026, 1, 5, 10, 0, 0, 250_000, UTC),
        date(2026, 1, 5),
        b"ab\0\0",
        "x",
        {"a": 1},
        [1],
        None,
        True,
        datetime(2026, 1, 5, 1, 2, 3, tzinfo=UTC),
    )


def test_columns_are_arrays_where_the_type_allows(store: Store) -> None:
    found = store.columns(
        "SELECT number AS n, number / 2 AS f, toFixedString('ab', 4) AS key, toString(number) AS s,"
        " toLowCardinality('x') AS lc, toDateTime64('2026-01-05', 3, 'UTC') AS t,"
        " if(number = 1, NULL, number) AS maybe, map('a', 1) AS m, [number] AS l FROM numbers(3) ORDER BY n"
    )
    assert isinstance(found["n"], np.ndarray)
    assert found["n"].tolist() == [0, 1, 2]
    assert found["f"].dtype == np.float64
    assert found["key"] == [b"ab\0\0"] * 3
    assert found["s"] == ["0", "1", "2"]
    assert found["lc"] == ["x"] * 3
    assert found["t"][0] == np.datetime64("2026-01-05T00:00:00", "ms")
    assert found["maybe"] == [0, None, 2]
    assert found["m"] == [{"a": 1}] * 3
    assert found["l"] == [[0], [1], [2]]


def test_no_rows_still_have_columns(store: Store) -> None:
    found = store.columns("SELECT 1 AS a, 'x' AS b WHERE 0")
    assert {name: len(column) for name, column in found.items()} == {"a": 0, "b": 0}
    assert store.query("SELECT 1 WHERE 0") == []


@pytest.mark.parametrize(
    "text",
    ["it's", "tab\tline\nback\\slash", "nul\0", "{a:String} %s %(x)s", "é\u2028", '`"', "';DROP"],
)
def test_parameters_arrive_as_they_are(store: Store, text: str) -> None:
    assert store.query("SELECT {v:String}", {"v": text}) == [(text,)]
    assert store.query("SELECT {v:Array(String)}", {"v": [text, text]}) == [([text, text],)]
    assert store.columns("SELECT {v:String} AS v", {"v": text})["v"] == [text]


def test_parameters_of_other_types(store: Store) -> None:
    when = datetime(2026, 1, 5, 1, 2, 3, 456_789, UTC)
    assert store.query(
        "SELECT {t:DateTime64(6, 'UTC')}, {d:Date}, {n:UInt64}, {b:Bool}, {f:Float64}, {k:FixedString(4)} AS k,"
        " {l:Array(Date)}",
        {"t": when, "d": date(2026, 1, 5), "n": 2**64 - 1, "b": True, "f": 0.1, "k": b"a\0\xff\n", "l": [date(2026, 1, 5)]},
    ) == [(when, date(2026, 1, 5), 2**64 - 1, True, 0.1, b"a\0\xff\n", [date(2026, 1, 5)])]  # fmt: skip


def test_times_do_not_follow_the_hosts_zone(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from analyzer_service.store.connect import open_store\n"
        "with open_store(sys.argv[1]) as s:\n"
        "    print(s.query(\"SELECT toDateTime(0), toDate(toDateTime('2026-01-05 23:30:00')),"
        " toDateTime64(0, 3, 'UTC'), toString(now()) = toString(now('UTC'))\"))\n"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo"}
    found = subprocess.run(
        [sys.executable, "-c", code, f"chdb://{tmp_path / 's'}"],
        capture_output=True, text=True, timeout=60, check=True, env=environment,
    )  # fmt: skip
    assert "datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)" in found.stdout
    assert "datetime.date(2026, 1, 5)" in found.stdout
    assert "1970, 1, 1, 9" not in found.stdout


# hazards of the engine


def test_a_failed_query_leaves_nothing_to_the_next(store: Store) -> None:
    for _ in range(3):
        with pytest.raises(StoreError, match="NON_ZERO"):
            store.query("SELECT throwIf(number = 500000, 'late') FROM numbers(600000)")
        assert store.query("SELECT toUInt8(7)") == [(7,)]
        assert store.columns("SELECT toUInt8(7) AS n")["n"].tolist() == [7]  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", ["query", "columns", "execute"])
def test_several_statements_are_refused(table: Store, call: str) -> None:
    with pytest.raises(StoreError, match="holds 2"):
        getattr(table, call)("SELECT 1; DROP TABLE t")
    with pytest.raises(StoreError, match="holds 0"):
        getattr(table, call)("-- nothing")
    assert table.query("SELECT count() FROM t") == [(0,)]


def test_bulk_bytes_are_never_run_as_sql(table: Store) -> None:
    rows = [(2570 * n, BLANK_LINE) for n in range(5000)]
    table.insert("t", ["a", "s"], row_binary(rows), data_format="RowBinary")
    assert table.query("SELECT count(), sum(a), any(s) FROM t") == [
        (5000, sum(a for a, _ in rows), BLANK_LINE.decode())
    ]
    table.insert(
        "t", ["a", "s"], b'{"a": 1, "s": "x"}\n\nDROP TABLE t\n'[:19], data_format="JSONEachRow"
    )
    with pytest.raises(StoreError):
        table.insert("t", ["a", "s"], b"1,x\n\nDROP TABLE t;\n", data_format="CSV")
    assert table.query("SELECT count() FROM t") == [(5001,)]


def test_names_are_names(table: Store) -> None:
    with pytest.raises(StoreError, match="not the name of a table"):
        table.insert("t (a) VALUES (1); DROP TABLE t", ["a"], b"", data_format="CSV")
    with pytest.raises(StoreError, match="not the name of a format"):
        table.insert("t", ["a"], b"", data_format="CSV; DROP TABLE t")


def test_settings_of_one_statement_stay_with_it(table: Store) -> None:
    table.execute("INSERT INTO t SELECT getSetting('max_partitions_per_insert_block'), 'set'",
                  settings={"max_partitions_per_insert_block": 7})  # fmt: skip
    table.execute("INSERT INTO t SELECT getSetting('max_partitions_per_insert_block'), 'unset'")
    assert table.query("SELECT s, a FROM t ORDER BY a") == [("set", 7), ("unset", 100)]
    with pytest.raises(StoreError):
        table.execute("INSERT INTO t SELECT throwIf(1), ''", settings={"max_block_size": 3})
    assert table.query("SELECT getSetting('max_block_size') != 3") == [(1,)]


def test_engine_threads_reach_the_engine(store: Store) -> None:
    assert store.query("SELECT getSetting('max_threads')") == [(2,)]


def test_the_same_block_is_stored_once(table: Store) -> None:
    payload = row_binary([(1, b"x"), (2, b"y")])
    for _ in range(2):
        table.insert("t", ["a", "s"], payload, data_format="RowBinary")
    for token in ("one", "one", "two"):
        table.insert_rows("t", ["a", "s"], [(3, "z")], token=token)
    table.insert_rows("t", ["a", "s"], [])
    assert table.query("SELECT a, count() FROM t GROUP BY a ORDER BY a") == [(1, 1), (2, 1), (3, 2)]


def test_many_threads_at_once(table: Store) -> None:
    def work(number: int) -> int:
        if number % 5 == 0:
            with pytest.raises(StoreError):
                table.query("SELECT throwIf(number = 70000) FROM numbers(80000)")
        table.insert_rows("t", ["a", "s"], [(number, str(number))])
        return int(table.query("SELECT {n:UInt32} * 2", {"n": number})[0][0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [2 * number for number in range(40)]
    assert table.query("SELECT count() FROM t") == [(40,)]


def test_messages_hold_no_statement_and_no_host_path(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        store.query("SELECT secret_column, 'a literal' FROM system.one")
    assert "secret_column" in str(caught.value)
    for inside in ("a literal", "In scope", "version", "DB::Exception", "SELECT"):
        assert inside not in str(caught.value)


# ownership


def test_another_process_is_told_in_one_sentence(store: Store, folder: Path) -> None:
    store.announce("127.0.0.1:50051")
    code = (
        "import sys\n"
        "from analyzer_service.errors import StoreBusyError\n"
        "from analyzer_service.store.connect import open_store\n"
        "try:\n    open_store(sys.argv[1])\n"
        "except StoreBusyError as error:\n    print(error)\n"
    )
    found = run_python(code, store.url)
    assert found.stdout.strip() == (
        f"Process {os.getpid()} owns the embedded store {folder / 'store'}, so go through its service"
        " instead: --server 127.0.0.1:50051"
    )
    store.announce("")
    assert "--server HOST:PORT" in run_python(code, store.url).stdout


def test_a_second_store_in_this_process_is_refused(store: Store, tmp_path: Path) -> None:
    for url in (f"chdb://{tmp_path / 'other'}", store.url, "chdb://memory"):
        with pytest.raises(StoreError, match="already has the embedded store"):
            open_store(url)
    assert store.query("SELECT 1") == [(1,)]


def test_a_forked_child_is_told(store: Store) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store.query("SELECT 1")
        except StoreError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert b"forked" in os.read(read, 1000)
    os.close(read)
    assert store.query("SELECT 1") == [(1,)]


def test_the_lock_goes_with_a_killed_owner_and_acknowledged_rows_stay(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from analyzer_service.store.connect import open_store\n"
        "s = open_store(sys.argv[1])\n"
        "s.execute('CREATE TABLE k (a UInt64) ENGINE = MergeTree ORDER BY a')\n"
        "for n in range(20):\n    s.insert_rows('k', ['a'], [(n,)])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    url = f"chdb://{tmp_path / 'killed'}"
    owner = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    count = "import sys; from analyzer_service.store.connect import open_store; print(open_store(sys.argv[1]).query('SELECT count() FROM k'))"
    assert "StoreBusyError" in run_python(count, url).stderr
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert run_python(count, url).stdout.strip() == "[(20,)]"


def test_the_folder_is_its_owners_alone(folder: Path, store: Store) -> None:
    assert (folder / "store").stat().st_mode & 0o777 == 0o700
    assert (folder / "store" / LOCK_NAME).stat().st_mode & 0o777 == 0o600
