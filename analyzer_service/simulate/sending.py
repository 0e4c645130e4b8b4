"""A world leaves through OTLP like anybody's telemetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from analyzer_service.otlp.sender import SendSummary
from analyzer_service.simulate.world import World

Progress = Callable[[int, int], None]
"""Called with the days sent so far and the days there are."""


class Sender(Protocol):
    """What :class:`analyzer_service.otlp.sender.OtlpSender` offers and a simulation needs."""

    def send_traces(self, request: bytes, *, records: int) -> None:
        """Send a request of spans; may block while the receiver is busy."""
        ...

    def send_logs(self, request: bytes, *, records: int) -> None:
        """Send a request of log records; may block while the receiver is busy."""
        ...

    def drain(self) -> SendSummary:
        """Wait for every answer."""
        ...


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What a simulation has sent and what became of it.

    Attributes:
        spans: Spans sent.
        events: Log records sent.
        accepted: Records the receiver took.
        rejected: Records it refused for good.
        retries: Requests sent again.
        messages: What the receiver complained about, each complaint once.
        rated: Users that do enough to be rated.
        infrequent: Users that do not.
        challenges: Planted challenges.
    """

    spans: int
    events: int
    accepted: int
    rejected: int
    retries: int
    messages: tuple[str, ...]
    rated: int
    infrequent: int
    challenges: int


def simulate(world: World, sender: Sender, progress: Progress | None = None) -> SimulationSummary:
    """Send all of a world's telemetry, as fast as the receiver takes it.

    Raises:
        UnavailableError: The receiver does not answer (any more).
    """
    spans = events = 0
    for number in range(world.days):
        for kind, request, records in world.day(number):
            if kind == "traces":
                sender.send_traces(request, records=records)
                spans += records
            else:
                sender.send_logs(request, records=records)
                events += records
        if progress:
            progress(number + 1, world.days)
    sent = sender.drain()
    population = world.scenario.population
    return SimulationSummary(
        spans=spans,
        events=events,
        accepted=sent.accepted,
        rejected=sent.rejected,
        retries=sent.retries,
        messages=sent.messages,
        rated=population.rated.expert + population.rated.intermediate + population.rated.beginner,
        infrequent=population.infrequent,
        challenges=len(world.scenario.challenges),
    )
