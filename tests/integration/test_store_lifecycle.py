"""Opening and closing stores, one after the other."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from analyzer_service.errors import StoreError
from analyzer_service.store.connect import open_store
from analyzer_service.store.migrations import check_schema, migrate


def test_another_path_opens_after_close(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        with open_store(f"chdb://{tmp_path / name}") as store:
            store.execute("CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a")
            store.insert_rows("t", ["a"], [(1,)])
    with open_store(f"chdb://{tmp_path / 'one'}") as store:
        assert store.query("SELECT count() FROM t") == [(2,)]


def test_close_ends_open_answers_and_other_handles(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path / 'one'}")
    answer = store.ask("SELECT number FROM numbers(900000)")
    next(answer)
    assert store.query("SELECT 1") == [(1,)]
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.query("SELECT 1")
    with open_store(f"chdb://{tmp_path / 'two'}") as other:
        assert other.query("SELECT 1") == [(1,)]


def test_close_waits_for_calls_in_flight(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path / 'one'}")
    outcome: list[object] = []

    def slow() -> None:
        outcome.append(store.query("SELECT sleep(0.5)"))

    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.15)
    store.close()
    thread.join()
    assert outcome == [[(0,)]]


def test_a_store_in_memory_outlives_errors_and_ends_with_close() -> None:
    with open_store("chdb://memory") as store:
        store.execute("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
        with pytest.raises(StoreError):
            store.query("SELECT nonsense")
        assert store.query("SELECT count() FROM t") == [(0,)]
    with open_store("chdb://memory") as store, pytest.raises(StoreError):
        store.query("SELECT count() FROM t")


def test_open_and_migrate(tmp_path: Path) -> None:
    with open_store(f"chdb://{tmp_path / 'fresh'}") as store:
        migrate(store)
        check_schema(store)


def test_missing_chdb_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(StoreError) as caught:
        open_store(f"chdb://{tmp_path / 'x'}")
    assert str(caught.value) == (
        "The embedded store needs chDB, which is not installed."
        ' Install it with: pip install "mlp-analyzer[embedded]"'
    )


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be used"):
        open_store(f"chdb://{tmp_path / 'file'}")
    with pytest.raises(StoreError, match="cannot be used"):
        open_store(f"chdb://{tmp_path / 'file' / 'below'}")


def test_a_server_that_does_not_answer_keeps_the_password_secret() -> None:
    store = open_store("clickhouse://someone:s3cret-word@127.0.0.1:1/db")
    assert store.url == "clickhouse://someone@127.0.0.1:1/db"
    assert not store.embedded
    with pytest.raises(StoreError) as caught:
        store.query("SELECT 1")
    everything = f"{caught.value} {caught.value!r} {store!r} {store._location!r}"
    assert "s3cret" not in everything
    assert "127.0.0.1:1" in str(caught.value)
    store.close()
