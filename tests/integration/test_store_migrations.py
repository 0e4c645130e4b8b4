"""Migrations on real stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analyzer_service import resources
from analyzer_service.errors import SchemaError, StoreError
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import (
    check_schema,
    current_version,
    latest_version,
    load_migrations,
    migrate,
    status,
)
from analyzer_service.store.schema import schema_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path / 'store'}") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small migrations of our own."""
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "0001_one.sql").write_text(
        "-- First; with a semicolon.\nCREATE TABLE IF NOT EXISTS one (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
    )
    (made / "0002_two.sql").write_text(
        "CREATE TABLE IF NOT EXISTS two (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
        "CREATE TABLE IF NOT EXISTS three (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
    )
    return made


def test_a_fresh_store_gets_everything_once(store: Store) -> None:
    assert current_version(store) == 0
    assert [entry.applied_time for entry in status(store)] == [None] * latest_version()
    with pytest.raises(SchemaError, match="run mlp-analyzer migrate"):
        check_schema(store)
    planned = migrate(store, dry_run=True)
    assert store.query("SELECT count() FROM system.tables WHERE database = currentDatabase()") == [
        (0,)
    ]
    assert migrate(store) == planned
    assert [step.statement for step in planned] == [
        statement for migration in load_migrations() for statement in migration.statements
    ]
    assert migrate(store) == migrate(store, dry_run=True) == []
    check_schema(store)
    assert migrate(store, repeat=True) == planned
    check_schema(store)
    assert current_version(store) == latest_version()
    assert all(entry.applied_time and not entry.changed for entry in status(store))


def test_every_statement_may_run_again(store: Store) -> None:
    migrate(store)
    before = schema_of(store)
    for migration in load_migrations():
        for statement in migration.statements:
            store.execute(statement)
    assert schema_of(store) == before


def test_a_failed_migration_starts_again_from_its_start(store: Store, folder: Path) -> None:
    good = (folder / "0002_two.sql").read_text()
    (folder / "0002_two.sql").write_text(
        good + "CREATE TABLE IF NOT EXISTS bad (a Nonsense) ENGINE = Memory;\n"
    )
    with pytest.raises(StoreError, match="Nonsense"):
        migrate(store, folder=folder)
    assert current_version(store) == 1
    # The files are read once per process: a mended one lies elsewhere.
    mended = shutil.copytree(folder, folder.with_name("mended"))
    (mended / "0002_two.sql").write_text(good)
    assert [step.version for step in migrate(store, folder=mended)] == [2, 2]
    check_schema(store, folder=mended)


def test_a_changed_migration_is_refused(store: Store, folder: Path) -> None:
    migrate(store, folder=folder)
    changed = shutil.copytree(folder, folder.with_name("changed"))
    (changed / "0001_one.sql").write_text(
        "CREATE TABLE IF NOT EXISTS other (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
    )
    for call in (migrate, check_schema):
        with pytest.raises(SchemaError, match="0001_one is not the one applied"):
            call(store, folder=changed)
    assert [entry.changed for entry in status(store, folder=changed)] == [True, False]


def test_a_newer_store_is_refused(store: Store, folder: Path) -> None:
    migrate(store, folder=folder)
    older = shutil.copytree(folder, folder.with_name("older"))
    (older / "0002_two.sql").unlink()
    with pytest.raises(SchemaError, match="Upgrade"):
        check_schema(store, folder=older)


def test_concurrent_starts(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        steps = list(pool.map(lambda _: migrate(store), range(4)))
    assert sorted(len(one) for one in steps)[:3] == [0, 0, 0]
    check_schema(store)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_b.sql"], "without gaps"),
        (["0001_a.sql", "0001_b.sql"], "without gaps"),
        (["0002_a.sql"], "without gaps"),
        ([], "without gaps"),
        (["1_a.sql"], "not named"),
        (["0001_A b.sql"], "not named"),
    ],
)
def test_bad_numbering_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(SchemaError, match=message):
        load_migrations(tmp_path)


def test_an_empty_migration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("-- nothing\n")
    with pytest.raises(SchemaError, match="no statement"):
        load_migrations(tmp_path)


def test_the_shipped_files_are_where_resources_says() -> None:
    assert (resources.sql_folder() / "migrations" / "0001_raw.sql").is_file()
