"""What every migration must keep to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer_service import resources
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import load_migrations, migrate
from analyzer_service.store.schema import schema_of
from otel_instrumentation import semconv

STATEMENTS = [
    pytest.param(statement, id=f"{migration.version:04d}-{number}")
    for migration in load_migrations()
    for number, statement in enumerate(migration.statements, 1)
]
RAW_CHAIN = ("otel_traces", "otel_logs", "signals", "rejected", "path_metrics")
"""Tables that senders fill; the settled ones are recomputed and swapped."""

ATTRIBUTE_CONSTANTS = frozenset(
    value for value in vars(semconv).values() if isinstance(value, str) and "." in value
)
ELSEWHERE = frozenset(
    {
        "asgi.event.type",
        "http.response.status_code",
        "http.status_code",
        "http.target",
        "user_agent.original",
    }
)
"""Attributes other instrumentations set and ours does not name."""


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('schema')}") as opened:
        migrate(opened)
        yield opened


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_may_run_twice(statement: str) -> None:
    text = without_comments(statement).strip()
    if text.upper().startswith("CREATE"):
        assert re.match(
            r"CREATE ((TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY) IF NOT EXISTS|OR REPLACE VIEW) ",
            text,
        )
    else:
        assert re.search(r"\bIF (NOT )?EXISTS\b|MODIFY (QUERY|TTL|SETTING|COLUMN)", text), text[:80]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_nothing_runs_into_a_database_or_cluster_of_its_own(statement: str) -> None:
    text = without_comments(statement)
    assert "ON CLUSTER" not in text.upper()
    assert not re.search(r"\b(default|mlp)\.\w", text.replace("'mlp.", "'"))


@pytest.mark.parametrize("statement", STATEMENTS)
def test_views_write_to_a_named_table(statement: str) -> None:
    text = without_comments(statement)
    if "CREATE MATERIALIZED VIEW" in text:
        assert re.search(r"IF NOT EXISTS \w+ TO \w+ AS", text)
        assert "POPULATE" not in text
        assert not re.search(r"SELECT\s+\*", text)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_partitions_and_expiry_never_follow_what_a_sender_says(statement: str) -> None:
    text = without_comments(statement)
    for clause in re.findall(r"\n(?:PARTITION BY|TTL) ([^\n]+)", text):
        assert "event_time" not in clause
        assert not re.search(r"\bTimestamp\b", clause), clause


@pytest.mark.parametrize("table", RAW_CHAIN)
def test_raw_tables_drop_a_batch_sent_again(store: Store, table: str) -> None:
    [(text,)] = store.query(f"SHOW CREATE TABLE {table}")
    window = re.search(r"non_replicated_deduplication_window = (\d+)", text)
    assert window
    assert int(window.group(1)) >= 1000
    assert re.search(r"PARTITION BY toDate\((IngestTime|ingest_time)\)", text)
    assert re.search(r"TTL toDate\((IngestTime|ingest_time)\)", text)


def test_aggregating_tables_lose_no_column(store: Store) -> None:
    assert (
        store.query(
            "SELECT c.table, c.name FROM system.columns AS c"
            " INNER JOIN system.tables AS t ON t.database = c.database AND t.name = c.table"
            " WHERE t.database = currentDatabase() AND t.engine IN ('AggregatingMergeTree', 'SummingMergeTree')"
            " AND NOT c.is_in_sorting_key AND c.type NOT LIKE '%AggregateFunction%'"
        )
        == []
    )


def test_every_time_column_names_its_zone(store: Store) -> None:
    assert (
        store.query(
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
            " AND match(type, 'DateTime(64)?') AND NOT match(type, 'UTC')"
        )
        == []
    )


def test_no_view_feeds_a_settled_table(store: Store) -> None:
    views = store.query(
        "SELECT name, create_table_query FROM system.tables"
        " WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    )
    assert views
    for name, text in views:
        target = re.search(r" TO (?:\w+\.)?`?(\w+)", text)
        assert target, name
        # `arrivals` counts arrivals and not events, and no analysis reads it.
        assert target.group(1) in {"signals", "arrivals", "path_metrics"}


def test_the_exporter_can_write(store: Store) -> None:
    """The exporter's insert lists, by the names of its columns."""
    traces = (
        "Timestamp,TraceId,SpanId,ParentSpanId,TraceState,SpanName,SpanKind,ServiceName,"
        "ResourceAttributes,ScopeName,ScopeVersion,SpanAttributes,Duration,StatusCode,StatusMessage,"
        "Events.Timestamp,Events.Name,Events.Attributes,Links.TraceId,Links.SpanId,Links.TraceState,"
        "Links.Attributes"
    )
    logs = (
        "Timestamp,TraceId,SpanId,TraceFlags,SeverityText,SeverityNumber,ServiceName,Body,"
        "ResourceSchemaUrl,ResourceAttributes,ScopeSchemaUrl,ScopeName,ScopeVersion,ScopeAttributes,"
        "LogAttributes,EventName"
    )
    sums = (
        "ResourceAttributes,ResourceSchemaUrl,ScopeName,ScopeVersion,ScopeAttributes,"
        "ScopeDroppedAttrCount,ScopeSchemaUrl,ServiceName,MetricName,MetricDescription,MetricUnit,"
        "Attributes,StartTimeUnix,TimeUnix,Value,Flags,Exemplars.FilteredAttributes,"
        "Exemplars.TimeUnix,Exemplars.Value,Exemplars.SpanId,Exemplars.TraceId,"
        "AggregationTemporality,IsMonotonic"
    )
    written = (("otel_traces", traces), ("otel_logs", logs), ("otel_metrics_sum", sums))
    for table, columns in written:
        have = {
            name
            for (name,) in store.query(
                "SELECT name FROM system.columns WHERE database = currentDatabase()"
                " AND table = {table:String} AND default_kind = ''",
                {"table": table},
            )
        }
        assert have == set(columns.split(","))


def attribute_names(text: str) -> set[str]:
    return set(re.findall(r"Attributes\['([^']+)'\]", text)) | {
        name
        for name in re.findall(r"'([a-z_]+(?:\.[a-z_]+)+)'", text)
        if name.split(".")[0]
        in {"mlp", "user", "session", "vcs", "service", "deployment", "log", "error"}
    }


@pytest.mark.parametrize(
    "path", sorted(resources.sql_folder().glob("[mq]*/*.sql")), ids=lambda path: path.name
)
def test_attribute_names_are_those_of_the_conventions(path: Path) -> None:
    unknown = attribute_names(without_comments(path.read_text())) - ATTRIBUTE_CONSTANTS - ELSEWHERE
    assert not unknown


def test_the_name_check_sees_names() -> None:
    text = "SELECT SpanAttributes['mlp.stage'], x IN ('user.hash') FROM t"
    assert attribute_names(text) == {"mlp.stage", "user.hash"}
    assert {"mlp.stage", "user.hash"} <= ATTRIBUTE_CONSTANTS


def test_the_schema_folder_is_what_the_migrations_make(store: Store) -> None:
    folder = resources.sql_folder() / "schema"
    written = {path.name: path.read_text() for path in folder.glob("*.sql")}
    assert written == schema_of(store), "run: make schema"
