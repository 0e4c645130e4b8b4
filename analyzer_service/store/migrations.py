"""Migrations: the files of ``clickhouse/migrations`` are the truth, a ledger says which are in.

Every statement is idempotent, so a migration that failed half-way is run again from its start, and
several processes may start at once: the worst they do is the same thing twice.

The files are written for one server; on a cluster ``cluster.Cluster.spread`` says what is sent.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from analyzer_service import resources
from analyzer_service.errors import SchemaError, StoreError
from analyzer_service.store.cluster import Cluster
from analyzer_service.store.connect import Store
from analyzer_service.store.faults import engine_code
from analyzer_service.store.statements import split_statements

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    checksum FixedString(64),
    applied_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    statements UInt32
)
ENGINE = ReplacingMergeTree(applied_time)
ORDER BY version
SETTINGS non_replicated_deduplication_window = 100
"""

UNKNOWN_DATABASE = 81
"""The engine's code for a server's database that is still to be created."""

KNOWN_CLUSTER = "SELECT 1 FROM system.clusters WHERE cluster = {name:String} LIMIT 1"

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    checksum: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One statement that was run, or would be."""

    version: int
    name: str
    statement: str


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """How one migration stands in a store."""

    version: int
    name: str
    applied_time: datetime | None
    """None: not applied yet."""
    changed: bool
    """Whether the file is not the one that was applied."""


def load_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """Read the migrations in order.

    Raises:
        SchemaError: a file is misnamed, a number missing or taken twice, or a file empty.
    """
    return _load(folder or resources.sql_folder() / "migrations")


@lru_cache(maxsize=8)
def _load(folder: Path) -> tuple[Migration, ...]:
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise SchemaError(f"The migration {path.name} is not named NNNN_words.sql.")
        text = path.read_bytes()
        statements = tuple(split_statements(text.decode("utf-8")))
        if not statements:
            raise SchemaError(f"The migration {path.name} holds no statement.")
        found.append(
            Migration(
                version=int(match.group(1)),
                name=match.group(2),
                checksum=hashlib.sha256(text).hexdigest(),
                statements=statements,
            )
        )
    versions = [migration.version for migration in found]
    if not versions or versions != list(range(1, len(versions) + 1)):
        raise SchemaError(f"Migrations must be numbered 0001 to NNNN without gaps, not {versions}.")
    return tuple(found)


def latest_version() -> int:
    """Return the schema version this program needs."""
    return load_migrations()[-1].version


def migrate(
    store: Store, *, dry_run: bool = False, repeat: bool = False, folder: Path | None = None
) -> list[MigrationStep]:
    """Bring a store to this program's schema.

    Args:
        store: what to change; the database its URL names is created if missing.
        dry_run: change nothing, only say what would run.
        repeat: run what is applied as well, for a cluster's server that lacks tables others have.
        folder: where the migrations lie, if not where the program ships them.

    Returns:
        Every statement that was run (or would be), in order; none if all was in.

    Raises:
        SchemaError: an applied migration is not the file of that number, or the store is newer.
        StoreError: a statement failed; the next call starts its migration again.
    """
    migrations = load_migrations(folder)
    with _one_at_a_time:
        if not dry_run:
            store.create_database()
        _check_cluster(store)
        if not dry_run:
            store.execute(LEDGER)
        steps = []
        for migration in migrations:
            # Read again each time: another process may be doing the same.
            applied = _applied(store)
            _compare(migrations, applied)
            if migration.version in applied and not repeat:
                continue
            if not dry_run:
                _apply(store, migration)
            steps += _steps(migration, store.cluster)
        return steps


def plan(cluster: Cluster | None = None, *, folder: Path | None = None) -> list[MigrationStep]:
    """Return every statement a new store gets, in order, without opening any."""
    ledger = cluster.spread(LEDGER.strip()) if cluster else ()
    return [MigrationStep(0, "ledger", statement) for statement in ledger] + [
        step for migration in load_migrations(folder) for step in _steps(migration, cluster)
    ]


def status(store: Store, *, folder: Path | None = None) -> list[MigrationStatus]:
    """Say for each migration whether it is applied."""
    applied = _applied(store)
    return [
        MigrationStatus(
            version=migration.version,
            name=migration.name,
            applied_time=entry[1] if entry else None,
            changed=entry is not None and entry[0] != migration.checksum,
        )
        for migration in load_migrations(folder)
        for entry in (applied.get(migration.version),)
    ]


def current_version(store: Store) -> int:
    """Return the schema version of a store, 0 for an empty one."""
    return max(_applied(store), default=0)


def check_schema(store: Store, *, folder: Path | None = None) -> None:
    """Make sure a store has this program's schema.

    Raises:
        SchemaError: a migration is missing, changed, or unknown to this program.
    """
    migrations = load_migrations(folder)
    _check_cluster(store)
    applied = _applied(store)
    _compare(migrations, applied)
    missing = [migration for migration in migrations if migration.version not in applied]
    if missing:
        raise SchemaError(
            f"The store {store.url} lacks migration {missing[0].version:04d}_{missing[0].name}.",
            hint="run mlp-analyzer migrate",
        )


def _steps(migration: Migration, cluster: Cluster | None) -> list[MigrationStep]:
    return [
        MigrationStep(migration.version, migration.name, sent)
        for statement in migration.statements
        for sent in (cluster.spread(statement) if cluster else (statement,))
    ]


def _check_cluster(store: Store) -> None:
    """Make sure the server knows the cluster, and the tables were made for it.

    Otherwise settling would empty the tables of one server and leave the others'.
    """
    cluster = store.cluster
    try:
        if cluster and not store.query(KNOWN_CLUSTER, {"name": cluster.name}):
            raise SchemaError(
                f"The server of {store.url} knows no cluster {cluster.name}.",
                hint="Name one that its configuration has under remote_servers.",
            )
        found = _made_for(store)
    except StoreError as error:
        if engine_code(error) == UNKNOWN_DATABASE:
            return  # nothing was made yet
        raise
    if found is not None and found != (cluster.name if cluster else ""):
        made = f"for the cluster {found}" if found else "for one server"
        raise SchemaError(
            f"The tables of {store.url} were made {made}.",
            hint=f"Set MLP_ANALYZER_CLUSTER={found}." if found else "Name no cluster.",
        )


def _made_for(store: Store) -> str | None:
    """Return the cluster that a store's tables were made for; empty: none; None: no tables yet."""
    rows = store.query(
        "SELECT engine, engine_full FROM system.tables"
        " WHERE database = currentDatabase() AND name = 'signals'"
    )
    if not rows:
        return None
    engine, text = rows[0]
    return str(text).split("'")[1] if engine == "Distributed" else ""


def _apply(store: Store, migration: Migration) -> None:
    for statement in migration.statements:
        store.execute(statement)
    store.insert_rows(
        "schema_migrations",
        ["version", "name", "checksum", "applied_time", "statements"],
        [
            (
                migration.version,
                migration.name,
                migration.checksum.encode(),
                datetime.now(UTC),
                len(migration.statements),
            )
        ],
        token=f"{migration.version}:{migration.checksum}",
    )


def _applied(store: Store) -> dict[int, tuple[str, datetime]]:
    try:
        known = store.query(
            "SELECT count() FROM system.tables"
            " WHERE database = currentDatabase() AND name = 'schema_migrations'"
        )
    except StoreError as error:
        if engine_code(error) == UNKNOWN_DATABASE:
            return {}
        raise
    if not known[0][0]:
        return {}
    rows = store.query(
        "SELECT version, checksum, applied_time FROM schema_migrations FINAL ORDER BY version"
    )
    return {version: (checksum.decode(), applied) for version, checksum, applied in rows}


def _compare(migrations: Sequence[Migration], applied: dict[int, tuple[str, datetime]]) -> None:
    for migration in migrations:
        entry = applied.get(migration.version)
        if entry and entry[0] != migration.checksum:
            raise SchemaError(
                f"Migration {migration.version:04d}_{migration.name} is not the one applied to this"
                f" store on {entry[1]:%Y-%m-%d}: applied migrations never change.",
                hint="Use the version of the program that made the store, or a new store.",
            )
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise SchemaError(
            f"The store has schema version {newest}, this program knows {len(migrations)}.",
            hint="Upgrade the program.",
        )
