"""Traffic of a service that knows nothing of us, arriving over some days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from signal_map_rules import rule
from telemetry_rows import Record, Span, add_records, add_spans

from analyzer_service.store.connect import Store

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
"""Raw rows expire 180 days after their arrival, so arrivals are near now."""
DAY = timedelta(days=1)
PEOPLE = ("ann", "bob", "cid", "dee")
PUBLISH = rule(100_000)
EVENT = rule(
    100_001,
    pattern=r"^registry\npublished\n",
    action="notify",
    example="registry\npublished\n",
    counter_example="registry\nunpublished\n",
)


def request(
    number: int, *, days_ago: int = 1, name: str = "POST /publish", error: str = ""
) -> Span:
    """Return a server span of a service that knows nothing of us."""
    return Span(
        f"t{number}",
        name,
        user=PEOPLE[number % len(PEOPLE)],
        when=TODAY - days_ago * DAY + timedelta(minutes=number),
        service="registry",
        kind="Server",
        stage="",
        component="",
        action="",
        error=error,
        extra={"http.route": name.partition(" ")[2]},
    )


def live_through(store: Store, *, days: int = 3) -> None:
    """Let requests, an event and a span that says its stage itself arrive on each of some days."""
    for ago in range(days, 0, -1):
        arrived = TODAY - ago * DAY + timedelta(hours=20)
        spans = [request(100 * ago + n, days_ago=ago) for n in range(8)]
        spans += [request(100 * ago + 8 + n, days_ago=ago, name="GET /publish") for n in range(4)]
        spans += [request(100 * ago + 20, days_ago=ago, error="E")]
        said = Span(f"said{ago}", "run", user="ann", when=arrived - timedelta(hours=3))
        add_spans(store, [*spans, said], arrived=arrived)
        when = arrived - timedelta(hours=1)
        event = Record("published", f"u{ago}", when=when, service="registry")
        add_records(store, [event], arrived=arrived)
