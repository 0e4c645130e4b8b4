"""Deriving signals again: a change of the map reaches what is stored, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from signal_map_rules import as_yaml, mapped_store
from signal_map_traffic import DAY, EVENT, PEOPLE, PUBLISH, TODAY, live_through, request
from store_fixture import fresh_store
from telemetry_rows import Record, Span, add_records, add_spans, identity, person

from analyzer_service import resources
from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest, AnalysisStatus, Window
from analyzer_service.errors import DerivationRunningError, InvalidInputError
from analyzer_service.signal_map import Derivation, MapRule
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.reader import Reader
from analyzer_service.store.signal_map import derivation as derivation_module
from analyzer_service.store.signal_map.derivation import derive
from analyzer_service.store.signal_map.keeper import MapKeeper, install_signal_map
from otel_instrumentation import semconv


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with mapped_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def analyzer(store: Store) -> Analyzer:
    return Analyzer(store, SystemClock(), stages=semconv.STAGES)


def run(analyzer: Analyzer, **window: datetime) -> Derivation:
    *_, last = analyzer.signal_map.derive(**window)
    assert last.done
    assert last.steps == last.total_steps
    return last


def add(analyzer: Analyzer, *rules: MapRule) -> None:
    assert analyzer.signal_map.add(as_yaml(rules)).applied


def stages(store: Store) -> dict[tuple[str, str, str, str], int]:
    rows = store.query(
        "SELECT stage, component, action, action_kind, count() FROM signals FINAL GROUP BY ALL"
    )
    return {tuple(row[:4]): int(row[4]) for row in rows}


def attempts(store: Store) -> dict[tuple[date, str], tuple[int, int]]:
    rows = store.query(
        "SELECT event_day, action, sum(attempts), sum(failed_attempts) FROM attempts_daily"
        " WHERE component = 'registry' GROUP BY ALL ORDER BY ALL"
    )
    return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}


def active(store: Store) -> set[str]:
    """Return the users an analysis of these days finds active."""
    window = Window(TODAY - 5 * DAY, TODAY)
    return {activity.user for activity in Reader(store).user_activity(window)}


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return all an analysis can read, but for the clock times of settling and deriving."""
    found = {
        "signals": store.query(
            "SELECT * EXCEPT (derived_time, map_version, derived_version) FROM signals FINAL ORDER BY ALL"
        )
    }
    for table in ("attempts_daily", "failures", "repeats_daily", "sessions_daily"):
        found[table] = store.query(f"SELECT * FROM {table} ORDER BY ALL")
    found["days"] = store.query(
        "SELECT * EXCEPT (settled_time, known_at) FROM settled_days FINAL ORDER BY event_day"
    )
    return found


def test_a_rule_reaches_signals_settled_days_and_analyses_and_leaves_them_again(
    store: Store, analyzer: Analyzer
) -> None:
    live_through(store)
    analyzer.settle()
    before = everything(store)
    assert attempts(store) == {}
    assert active(store) == {person("ann")}
    add(analyzer, PUBLISH, EVENT)
    assert everything(store) == before, "a change alone touches nothing that is stored"

    done = run(analyzer)
    assert (done.examined, done.derived, done.days_settled) == (45, 30, 3)
    assert done.changed == {"stage": 30, "action": 30, "action_kind": 30}
    assert stages(store)["model_deployment", "registry", "publish_model", "key"] == 27
    assert stages(store)["model_deployment", "registry", "notify", "key"] == 3
    assert stages(store)["", "registry", "GET /publish", ""] == 12
    days = [(TODAY - ago * DAY).date() for ago in (3, 2, 1)]
    assert attempts(store) == {(day, "publish_model"): (9, 1) for day in days}
    assert store.query("SELECT DISTINCT component, error_type FROM failures") == [("registry", "E")]
    analysis = analyzer.run(AnalysisRequest(rule_set="paper", preset="calibrated"))
    assert analysis.status is AnalysisStatus.SUCCEEDED
    assert active(store) == {person(name) for name in PEOPLE}
    assert attempts(store) == {(day, "publish_model"): (9, 1) for day in days}

    analyzer.signal_map.remove(100_000)
    analyzer.signal_map.remove(100_001)
    done = run(analyzer)
    assert (done.derived, done.days_settled) == (30, 3)
    assert everything(store) == before
    assert attempts(store) == {}


def test_running_it_again_writes_nothing(store: Store, analyzer: Analyzer) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH)
    run(analyzer)
    rows = store.query("SELECT count() FROM signals")
    after = everything(store)
    again = run(analyzer)
    assert (again.derived, again.days_settled, again.changed) == (0, 0, {})
    assert store.query("SELECT count() FROM signals") == rows
    assert everything(store) == after


@pytest.mark.parametrize("derived", [False, True])
def test_a_batch_sent_again_after_a_change_changes_nothing(
    store: Store, analyzer: Analyzer, derived: bool
) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH, EVENT)
    if derived:
        run(analyzer)
    before = everything(store)
    spans = [request(100 + n) for n in range(8)] + [request(208, name="GET /publish", days_ago=2)]
    # Cut differently and reordered, so that no block is the one that came before.
    add_spans(store, spans[5:2:-1], arrived=TODAY + timedelta(minutes=1))
    add_spans(store, spans[::-2], arrived=TODAY + timedelta(minutes=2))
    when = TODAY - DAY + timedelta(hours=19)
    add_records(store, [Record("published", "u1", when=when, service="registry")])
    analyzer.settle()
    assert everything(store) == before
    store.execute("OPTIMIZE TABLE otel_traces FINAL")
    store.execute("OPTIMIZE TABLE signals FINAL")
    assert everything(store) == before
    # Deriving reads the copies too, and keeps the first arrival.
    run(analyzer)
    first = store.query(
        "SELECT DISTINCT toHour(ingest_time) FROM signals FINAL WHERE event_time < {today:DateTime64(3, 'UTC')}",
        {"today": TODAY.strftime("%Y-%m-%d %H:%M:%S")},
    )
    assert first == [(20,)]
    if derived:
        assert everything(store) == before


def test_only_what_arrived_in_the_window_is_derived(store: Store, analyzer: Analyzer) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH)
    done = run(analyzer, window_start=TODAY - 2 * DAY, window_end=TODAY - DAY)
    assert (done.examined, done.derived, done.days_settled) == (15, 9, 1)
    assert list(attempts(store)) == [((TODAY - 2 * DAY).date(), "publish_model")]
    empty = run(analyzer, window_start=TODAY - 90 * DAY, window_end=TODAY - 80 * DAY)
    assert (empty.examined, empty.total_steps, empty.days_settled) == (0, 0, 0)
    with pytest.raises(InvalidInputError) as raised:
        run(analyzer, window_start=TODAY, window_end=TODAY)
    assert raised.value.field == "window_end_time"


def test_only_the_partitions_of_the_window_are_read(store: Store) -> None:
    live_through(store, days=5)
    for table in ("otel_traces", "otel_logs"):
        statement = derivation_module._over(
            derivation_module._view_select(store, table), "derivation_differences"
        )
        rows = store.query(
            f"EXPLAIN indexes = 1 {statement.partition('WITH')[1]}{statement.partition('WITH')[2]}",
            {
                "window_start": (TODAY - 2 * DAY).strftime("%Y-%m-%d %H:%M:%S"),
                "window_end": (TODAY - DAY).strftime("%Y-%m-%d %H:%M:%S"),
            },
        )
        plan = "\n".join(row[0] for row in rows)
        reads = plan.split(f".{table})")[1:]
        assert reads
        for read in reads:
            assert "Parts: 1/5" in read.split("ReadFrom")[0], plan


def test_a_large_day_is_derived_in_pieces_that_come_to_the_same(
    store: Store, analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(6):
        spans = [request(100 + 10 * minute + n) for n in range(5)]
        add_spans(store, spans, arrived=TODAY - DAY + timedelta(hours=22, minutes=minute))
    analyzer.settle()
    monkeypatch.setattr(derivation_module, "SLICE_RECORDS", 11)
    add(analyzer, PUBLISH)
    states = list(analyzer.signal_map.derive())
    assert [state.steps for state in states] == [0, 1, 2, 3, 3]
    assert [state.examined for state in states] == [0, 10, 20, 30, 30]
    assert states[-1].derived == 30
    assert attempts(store) == {((TODAY - DAY).date(), "publish_model"): (30, 0)}


def test_rows_that_arrive_meanwhile_are_neither_lost_nor_doubled(
    store: Store, analyzer: Analyzer
) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH)
    for number, _ in enumerate(analyzer.signal_map.derive()):
        add_spans(store, [request(500 + number)], arrived=datetime.now(UTC))
        analyzer.settle()
    found = store.query(
        "SELECT count(), uniqExact(signal_id) FROM signals FINAL WHERE action = 'publish_model'"
    )
    assert found == [(27 + number + 1, 27 + number + 1)]
    assert sum(done for done, _ in attempts(store).values()) == 27 + number + 1


def test_one_that_broke_off_is_finished_by_the_next(store: Store, analyzer: Analyzer) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH)
    # As if the process had ended after the signals were written and before their days were settled.
    list(derive(store, SystemClock(), window_start=None, window_end=None, touched=set()))
    assert attempts(store) == {}
    done = run(analyzer)
    assert (done.derived, done.days_settled) == (0, 3)
    assert len(attempts(store)) == 3


def test_who_stops_listening_leaves_settled_days(store: Store, analyzer: Analyzer) -> None:
    live_through(store)
    analyzer.settle()
    add(analyzer, PUBLISH)
    states = analyzer.signal_map.derive()
    while next(states).derived == 0:
        pass
    with pytest.raises(DerivationRunningError):
        next(analyzer.signal_map.derive())
    states.close()  # type: ignore[attr-defined]
    assert len(attempts(store)) == 1
    assert run(analyzer).days_settled == 2


def test_signals_that_are_missing_are_made(store: Store, analyzer: Analyzer) -> None:
    live_through(store)
    analyzer.settle()
    before = everything(store)
    store.execute("TRUNCATE TABLE signals")
    done = run(analyzer)
    assert done.changed == {"missing": 45}
    assert everything(store) == before


def test_people_and_their_first_arrival_stay_as_they_were(store: Store, analyzer: Analyzer) -> None:
    """A signal without a user of its own has its trace's, also after it was derived again."""
    when = TODAY - DAY + timedelta(hours=9)
    inner = Span(
        "t", "POST /publish", parent="page", when=when, service="registry", kind="Server",
        stage="", component="", action="", extra={"http.route": "/publish"},
    )  # fmt: skip
    add_spans(store, [Span("t", "page", user="ann", when=when)], arrived=when)
    add_spans(store, [inner], arrived=when + timedelta(hours=1))
    analyzer.settle()
    add(analyzer, PUBLISH)
    run(analyzer)
    assert store.query(
        "SELECT lower(hex(user_key)), sum(attempts) FROM attempts_daily WHERE component = 'registry' GROUP BY 1"
    ) == [(person("ann"), 1)]
    assert store.query(
        "SELECT ingest_time, map_rule > 0, derived_version = map_version FROM signals FINAL"
        " WHERE trace_id = {trace:String} AND component = 'registry'",
        {"trace": identity("t")},
    ) == [(when + timedelta(hours=1), 1, 1)]


def test_a_store_that_was_never_settled_is_left_to_its_first_run(
    store: Store, analyzer: Analyzer
) -> None:
    live_through(store, days=1)
    add(analyzer, PUBLISH)
    assert run(analyzer).days_settled == 0
    assert attempts(store) == {}
    analyzer.settle()
    assert attempts(store) == {((TODAY - DAY).date(), "publish_model"): (9, 1)}


def test_names_without_a_stage_are_listed_until_a_rule_covers_them(
    store: Store, analyzer: Analyzer
) -> None:
    live_through(store)
    inner = Span("in", "SELECT", parent="x", service="registry", stage="", component="", action="")
    paths = ["GET /user/ann/lab", "GET /items/17/x", "GET /items/4f3c2a1b9d8e7f60/x", "GET /a@b.c"]
    spans = [request(900 + n, name=path) for n, path in enumerate(paths)]
    add_spans(store, [inner, *spans])
    found = {one.name.name: one for one in analyzer.signal_map.unmapped()}
    assert set(found) == {
        "POST /publish", "GET /publish", "published", "GET /user/{name}/lab", "GET /items/{id}/x",
        "GET /{id}",
    }  # fmt: skip
    first = analyzer.signal_map.unmapped(limit=1)
    assert [(one.name.name, one.records, one.with_user) for one in first] == [
        ("POST /publish", 27, 27)
    ]
    assert first[0].name.route == "/publish"
    assert found["GET /items/{id}/x"].records == 2
    assert found["published"].source == "logs"
    assert found["published"].with_user == 0
    assert "SELECT" in {one.name.name for one in analyzer.signal_map.unmapped(inner_spans=True)}
    add(analyzer, PUBLISH, EVENT)
    left = {one.name.name for one in analyzer.signal_map.unmapped()}
    assert left == set(found) - {"POST /publish", "published"}
    run(analyzer)
    listed = sum(one.records for one in analyzer.signal_map.unmapped(inner_spans=True))
    assert store.query("SELECT count() FROM signals FINAL WHERE stage = ''") == [(listed,)]
    part = analyzer.signal_map.unmapped(window_start=TODAY - 3 * DAY, window_end=TODAY - 2 * DAY)
    assert [one.records for one in part] == [4]
    for limit in (0, 1001):
        with pytest.raises(InvalidInputError):
            analyzer.signal_map.unmapped(limit=limit)


def test_a_store_from_before_can_be_derived_too(tmp_path: Path) -> None:
    """Signals written before 0007 won by the version of their map; what comes after wins over them."""
    old = tmp_path / "old"
    old.mkdir()
    for path in sorted((resources.sql_folder() / "migrations").glob("*.sql"))[:6]:
        (old / path.name).write_bytes(path.read_bytes())
    with open_store(f"chdb://{tmp_path / 'store'}") as store:
        migrate(store, folder=old)
        columns = ["rule_id", "priority", "pattern", "stage", "component", "action", "map_version"]
        store.insert_rows(
            "signal_map", columns, [[3, 200, "GET /publish", "model_training", "old", "old", 1]]
        )
        for dictionary in ("signal_map_match", "signal_map_rule"):
            store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")
        live_through(store, days=1)
        assert stages(store)["model_training", "old", "old", ""] == 4
    with fresh_store(tmp_path) as store:
        assert install_signal_map(store) is True
        assert MapKeeper(store).version() == 2
        analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
        analyzer.settle()
        before = everything(store)
        # A copy of a signal that no rule matched, and one of a signal that an old rule did.
        copies = [request(100), request(108, name="GET /publish")]
        add_spans(store, copies, arrived=TODAY + timedelta(minutes=1))
        analyzer.settle()
        assert everything(store) == before
        add(analyzer, PUBLISH)
        run(analyzer)
        assert ("model_training", "old", "old", "") not in stages(store)
        assert stages(store)["model_deployment", "registry", "publish_model", "key"] == 9
        assert stages(store)["", "registry", "GET /publish", ""] == 4
