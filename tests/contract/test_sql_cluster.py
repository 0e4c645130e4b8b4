"""What a cluster gets instead of each migration and of what the service sends at run time.

Every statement is parsed by the real engine; `tests/snapshots/cluster.sql` shows them all. `make
schema` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer_service.errors import InvalidInputError, SchemaError
from analyzer_service.store.cluster import LOCAL, SETTINGS, Cluster
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.layout import Layout, shipped_layout
from analyzer_service.store.migrations import load_migrations, plan
from analyzer_service.store.settling import SETTLED_TABLES
from analyzer_service.store.statements import queries

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "cluster.sql"
CLUSTER = Cluster("mlp")
PLANNED = [step.statement for step in plan(CLUSTER)]
TABLES = list(shipped_layout().tables.values())
SHARDED = [table for table in TABLES if not table.everywhere]

RUN_TIME = [
    *(f"TRUNCATE TABLE settling_{table}" for table in ("signals", "propagated", *SETTLED_TABLES)),
    *(
        f"ALTER TABLE {table} REPLACE PARTITION '2026-01-05' FROM settling_{table}"
        for table in SETTLED_TABLES
    ),
    *(f"ALTER TABLE {table} DROP PARTITION '2026-01-05'" for table in SETTLED_TABLES),
    "SYSTEM RELOAD DICTIONARY signal_map_match",
    "SYSTEM RELOAD DICTIONARY signal_map_rule",
]
"""What settling and the signal map send, word for word."""

SENT = [sent for statement in RUN_TIME for sent in CLUSTER.spread(statement)]


def snapshot() -> str:
    steps = "".join(f"-- {step.version:04d}\n{step.statement};\n\n" for step in plan(CLUSTER))
    return steps + "-- at run time\n" + "".join(f"{sent};\n" for sent in SENT)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('parse')}") as store:
        yield store


def formatted(engine: Store, statement: str) -> str:
    [(text,)] = engine.query("SELECT formatQuerySingleLine({q:String})", {"q": statement})
    return str(text)


def test_the_snapshot_shows_every_statement() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == snapshot(), "run: make schema"


@pytest.mark.parametrize("statement", [*PLANNED, *SENT], ids=range(len(PLANNED) + len(SENT)))
def test_the_engine_parses_it_on_the_cluster(engine: Store, statement: str) -> None:
    text = formatted(engine, statement)
    names = [table.name for table in TABLES if table.everywhere]
    if not re.match(rf"ALTER TABLE ({'|'.join(names)}) ", text):
        assert " ON CLUSTER mlp" in text
    assert "non_replicated" not in text


def test_a_statement_spread_again_is_the_same_statement(engine: Store) -> None:
    """Nothing is lost on the way: without what was added, each is what the file says."""
    for migration in load_migrations():
        for statement in migration.statements:
            first = formatted(engine, CLUSTER.spread(statement)[0])
            undone = first.replace(" ON CLUSTER mlp", "").replace(
                "replicated_ded", "non_replicated_ded"
            )
            undone = re.sub(
                r"ENGINE = Replicated(\w+)\('[^']+', '[^']+'(?:, )?", r"ENGINE = \1(", undone
            )
            undone = re.sub(rf"\b(\w+){LOCAL}\b", r"\1", undone)
            wanted = re.sub(
                r"(ENGINE = \w*MergeTree)(?!\w|\()", r"\1()", formatted(engine, statement)
            )
            if re.match(r"CREATE TABLE IF NOT EXISTS \w+ AS \w+$", wanted):
                undone = undone[: undone.index(" ENGINE = ")]
            assert undone == wanted


def test_every_table_is_sharded_or_everywhere() -> None:
    everywhere = {table.name for table in TABLES if table.everywhere}
    assert everywhere >= {"signal_map"}
    for table in SHARDED:
        made = [
            text
            for text in PLANNED
            if re.search(rf"TABLE IF NOT EXISTS {table.name}{LOCAL} ON", text)
        ]
        over = [
            text for text in PLANNED if re.search(rf"TABLE IF NOT EXISTS {table.name} ON", text)
        ]
        assert len(made) == len(over) == 1, table.name
        assert f"'{table.name}{LOCAL}', {table.shard_key})" in over[0]
    for name in everywhere:
        [made] = [text for text in PLANNED if re.search(rf"TABLE IF NOT EXISTS {name} ON", text)]
        assert f"'/clickhouse/tables/everywhere/default/{name}', '{{shard}}-{{replica}}'" in made


def test_no_two_tables_share_a_place_in_keeper() -> None:
    paths = [path for text in PLANNED for path in re.findall(r"'(/clickhouse/[^']+)'", text)]
    assert len(paths) == len(set(paths)) >= len(TABLES)


def test_every_replicated_table_names_shard_and_replica() -> None:
    for text in PLANNED:
        if "Replicated" in text:
            place = re.search(r"Replicated\w+\('([^']+)', '([^']+)'", text)
            assert place
            assert "{replica}" in place.group(2)
            assert "{shard}" in place.group(0)


def test_views_stay_on_their_server() -> None:
    views = [text for text in PLANNED if "CREATE MATERIALIZED VIEW" in text]
    assert views
    names = "|".join(table.name for table in SHARDED)
    for view in views:
        assert re.search(rf" TO \w+{LOCAL} AS", view)
        assert not re.search(rf"\b(FROM|JOIN|TO) ({names})\b", view)


def test_plain_views_see_all_shards() -> None:
    for text in PLANNED:
        if re.search(r"CREATE (OR REPLACE )?VIEW", text):
            assert LOCAL not in text


def test_copies_of_a_row_share_a_shard() -> None:
    """What FINAL takes for one row has one key: the key says no more than the identity does."""
    known_by_identity = {
        # A copy is the same telemetry again, so it has the same user and trace.
        "otel_traces", "otel_logs", "signals", "path_metrics",
    }  # fmt: skip
    for table in SHARDED:
        if "Replacing" not in table.storage.engine or table.name in known_by_identity:
            continue
        order = table.storage.text[table.storage.text.index("ORDER BY") :].splitlines()[0]
        columns = set(re.findall(r"[a-z_]+", table.shard_key)) & table.columns
        assert columns
        assert all(re.search(rf"\b{column}\b", order) for column in columns), table.name


def test_times_of_arrival_are_left_to_the_shard() -> None:
    for table in ("otel_traces", "otel_logs"):
        assert (
            f"ALTER TABLE {table} ON CLUSTER mlp MODIFY COLUMN IngestTime DateTime64(3, 'UTC')"
            " MATERIALIZED now64(3, 'UTC')"
        ) in PLANNED


@pytest.mark.parametrize("name", sorted(queries))
def test_queries_stay_as_they_are(name: str) -> None:
    assert CLUSTER.spread(queries[name]) == (queries[name],)


def test_settings_are_the_engines(engine: Store) -> None:
    known = {name for (name,) in engine.query("SELECT name FROM system.settings")}
    assert {name for name, _ in SETTINGS} <= known


LAYOUT = Layout(
    [
        "CREATE TABLE IF NOT EXISTS t (user_key FixedString(16), at DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY (user_key)",
        "CREATE TABLE IF NOT EXISTS s AS t",
        "CREATE TABLE m (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'v')) LAYOUT(flat) LIFETIME(0)",
        "CREATE VIEW v AS SELECT a FROM m",
        "CREATE TABLE k (a UInt8, b String) ENGINE = AggregatingMergeTree PARTITION BY a ORDER BY cityHash64(b, a) SETTINGS ttl_only_drop_parts = 1",
    ]
)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 FROM t", ["SELECT 1 FROM t"]),
        ("INSERT INTO t SELECT * FROM s", ["INSERT INTO t SELECT * FROM s"]),
        ("TRUNCATE TABLE t", ["TRUNCATE TABLE t_local ON CLUSTER c"]),
        ("truncate table if exists `t`", ["truncate table if exists t_local ON CLUSTER c"]),
        ("TRUNCATE TABLE m", ["TRUNCATE TABLE m"]),
        ("DELETE FROM t WHERE 1", ["DELETE FROM t_local ON CLUSTER c WHERE 1"]),
        ("OPTIMIZE TABLE t FINAL", ["OPTIMIZE TABLE t_local ON CLUSTER c FINAL"]),
        ("ALTER TABLE t DROP PARTITION 'a, b'", ["ALTER TABLE t_local ON CLUSTER c DROP PARTITION 'a, b'"]),
        (
            "ALTER TABLE t REPLACE PARTITION 1 FROM s",
            [
                "SYSTEM SYNC REPLICA ON CLUSTER c s_local",
                "ALTER TABLE t_local ON CLUSTER c REPLACE PARTITION 1 FROM s_local",
            ],
        ),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS b Decimal(9, 2), MODIFY TTL at + toIntervalDay(1)",
            [
                "ALTER TABLE t_local ON CLUSTER c ADD COLUMN IF NOT EXISTS b Decimal(9, 2), MODIFY TTL at + toIntervalDay(1)",
                "ALTER TABLE t ON CLUSTER c ADD COLUMN IF NOT EXISTS b Decimal(9, 2)",
            ],
        ),
        ("ALTER TABLE m ADD COLUMN b UInt8", ["ALTER TABLE m ADD COLUMN b UInt8"]),
        ("ALTER TABLE w MODIFY QUERY SELECT * FROM t", ["ALTER TABLE w ON CLUSTER c MODIFY QUERY SELECT * FROM t_local"]),
        ("DROP TABLE IF EXISTS t SYNC", ["DROP TABLE IF EXISTS t ON CLUSTER c SYNC", "DROP TABLE IF EXISTS t_local ON CLUSTER c SYNC"]),
        ("DROP VIEW v", ["DROP VIEW v ON CLUSTER c"]),
        ("SYSTEM RELOAD DICTIONARY d", ["SYSTEM SYNC REPLICA ON CLUSTER c m", "SYSTEM RELOAD DICTIONARY ON CLUSTER c d"]),
        ("CREATE OR REPLACE VIEW v AS SELECT * FROM t", ["CREATE OR REPLACE VIEW v ON CLUSTER c AS SELECT * FROM t"]),
        (
            "CREATE MATERIALIZED VIEW w TO s AS WITH 'FROM t' AS x SELECT x FROM t /* FROM t */",
            ["CREATE MATERIALIZED VIEW w ON CLUSTER c TO s_local AS WITH 'FROM t' AS x SELECT x FROM t_local /* FROM t */"],
        ),
        (
            "CREATE TABLE IF NOT EXISTS s AS t",
            [
                "CREATE TABLE IF NOT EXISTS s_local ON CLUSTER c AS t_local\nENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/s_local', '{replica}') ORDER BY (user_key)",
                "CREATE TABLE IF NOT EXISTS s ON CLUSTER c AS s_local\nENGINE = Distributed('c', 'default', 's_local', cityHash64(lower(hex(user_key))))",
                "ALTER TABLE s ON CLUSTER c MODIFY COLUMN at DateTime MATERIALIZED now()",
            ],
        ),
        (
            "CREATE TABLE x (a UInt8) ENGINE = ReplacingMergeTree(a) ORDER BY a",
            ["CREATE TABLE x ON CLUSTER c (a UInt8) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/everywhere/default/x', '{shard}-{replica}', a) ORDER BY a"],
        ),
    ],
)  # fmt: skip
def test_spread(engine: Store, statement: str, expected: list[str]) -> None:
    sent = list(Cluster("c", layout=LAYOUT).spread(statement))
    assert sent == expected
    for text in sent:
        formatted(engine, text)


def test_a_sorting_key_gives_a_shard_key() -> None:
    assert LAYOUT.tables["k"].shard_key == "cityHash64(cityHash64(b, a))"


@pytest.mark.parametrize(
    "statement",
    [
        "RENAME TABLE t TO u",
        "EXCHANGE TABLES t AND s",
        "CREATE FUNCTION f AS x -> x",
        "CREATE MATERIALIZED VIEW w TO s AS SELECT * FROM t INNER JOIN k ON k.a = t.user_key",
    ],
)
def test_what_has_no_form_on_a_cluster_is_refused(statement: str) -> None:
    with pytest.raises(SchemaError):
        Cluster("c", layout=LAYOUT).spread(statement)


def test_without_keeper_nothing_is_replicated() -> None:
    alone = Cluster("c", layout=LAYOUT, coordinated=False)
    assert alone.spread("TRUNCATE TABLE t") == ("TRUNCATE TABLE t_local",)
    assert alone.spread("SYSTEM RELOAD DICTIONARY d") == ("SYSTEM RELOAD DICTIONARY d",)
    assert alone.spread("CREATE TABLE m (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a") == (
        "CREATE TABLE m (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a",
    )


@pytest.mark.parametrize("name", ["", "a b", "x; DROP TABLE t", "1", "a" * 65, "a`"])
def test_names_of_clusters(name: str) -> None:
    with pytest.raises(InvalidInputError, match="no name of a cluster"):
        Cluster(name)


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
