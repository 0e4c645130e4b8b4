"""Stock instrumentations: what their inner spans and their words for failures come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_fixture import fresh_store
from telemetry_rows import TRACE_COLUMNS, Span, add_spans, person

from analyzer_service.clock import SystemClock
from analyzer_service.store.connect import Store
from analyzer_service.store.settling import settle
from otel_instrumentation import semconv


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


def failures(store: Store) -> list[tuple[str, str, str]]:
    settle(store, SystemClock(), stages=semconv.STAGES)
    return store.query(
        "SELECT component, error_type, lower(hex(user_key)) FROM failures ORDER BY ALL"
    )


def unmapped(name: str, parent: str, *, kind: str = "Client", error: str = "") -> Span:
    """Return a span that no row of the map knows."""
    return Span("t", name, parent, stage="", component="", action="", kind=kind, error=error)


def request(error: str) -> Span:
    return Span("t", "POST /jobs", user="ann", kind="Server", action_kind="key", error=error)


def test_a_call_that_nobody_mapped_takes_no_failure_away(store: Store) -> None:
    add_spans(store, [request("HTTPError"), unmapped("GET", "POST /jobs", error="404")])
    assert failures(store) == [("jobs", "HTTPError", person("ann"))]


def test_the_failure_goes_past_what_is_unmapped_to_where_it_started(store: Store) -> None:
    started = Span("t", "run", "GET", kind="Server", component="backend", error="Timeout")
    add_spans(store, [request("HTTPError"), unmapped("GET", "POST /jobs", error="500"), started])
    assert failures(store) == [("backend", "Timeout", person("ann"))]


def test_failures_beside_each_other_in_the_unmapped_are_one_failure(store: Store) -> None:
    add_spans(
        store,
        [
            request("KeyError"),
            unmapped("POST /jobs http send", "POST /jobs", kind="Internal", error="500"),
            unmapped("INSERT", "POST /jobs", error="IntegrityError"),
        ],
    )
    assert failures(store) == [("jobs", "KeyError", person("ann"))]


def test_what_nobody_mapped_is_no_failure(store: Store) -> None:
    add_spans(store, [unmapped("GET", "", error="500")])
    assert failures(store) == []


def signals(store: Store) -> list[tuple[str, str, str]]:
    return store.query("SELECT action, outcome, error_type FROM signals ORDER BY ALL")


@pytest.mark.parametrize(
    ("said", "error_type"),
    [
        ({"error.type": "500"}, "500"),
        ({"error.type": "500", "exception.type": "KeyError"}, "KeyError"),
        ({"error.type": "TimeoutError", "exception.type": "KeyError"}, "TimeoutError"),
        ({"exception.type": "KeyError", "http.status_code": "500"}, "KeyError"),
        ({"http.status_code": "503"}, "503"),
        ({"http.response.status_code": "503"}, "503"),
        ({"http.status_code": "a status nobody knows"}, "_OTHER"),
        ({"error.type": "5000"}, "5000"),
        ({}, "_OTHER"),
    ],
)
@pytest.mark.parametrize("recorded", ["", "LookupError"])
def test_an_exceptions_name_says_more_than_the_status(
    store: Store, said: dict[str, str], error_type: str, recorded: str
) -> None:
    span = Span("t", "POST /jobs", kind="Server", extra=said).row()
    span[TRACE_COLUMNS.index("StatusCode")] = "Error"
    columns = [*TRACE_COLUMNS, "Events.Timestamp", "Events.Name", "Events.Attributes"]
    events: list[list[object]] = [[], [], []]
    if recorded:
        events = [[0, 0], ["retry", "exception"], [{}, {"exception.type": recorded}]]
    store.insert_rows("otel_traces", columns, [[*span, *events]])
    bare = error_type in ("500", "503", "_OTHER")
    assert [row[2] for row in signals(store)] == [recorded if recorded and bare else error_type]


def test_messages_of_an_asgi_request_make_no_signal(store: Store) -> None:
    sent = {"asgi.event.type": "http.response.start", "http.status_code": "500"}
    add_spans(
        store,
        [
            request("KeyError"),
            Span("t", "POST /jobs http send", "POST /jobs", error="500", extra=sent),
        ],
    )
    assert signals(store) == [("submit_job", "error", "KeyError")]
    assert failures(store) == [("jobs", "KeyError", person("ann"))]
    assert store.query("SELECT count() FROM otel_traces") == [(2,)]


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ({"http.route": "/a", "url.path": "/b", "http.target": "/c"}, "a"),
        ({"url.path": "/b", "http.target": "/c"}, "b"),
        ({"http.target": "/c?page=2"}, "c"),
        ({"http.target": "/c"}, "c"),
        ({}, "GET"),
    ],
)
def test_a_route_is_found_under_both_conventions(
    store: Store, said: dict[str, str], action: str
) -> None:
    rows = [(n, n, f"^studio\nGET\n/{name}$", "s", "c", name, 1) for n, name in enumerate("abc", 1)]
    columns = ["rule_id", "priority", "pattern", "stage", "component", "action", "map_version"]
    store.insert_rows("signal_map", columns, rows)
    for dictionary in ("signal_map_match", "signal_map_rule"):
        store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")
    add_spans(store, [Span("t", "GET", stage="", component="", action="", extra=said)])
    assert [row[0] for row in signals(store)] == [action]
