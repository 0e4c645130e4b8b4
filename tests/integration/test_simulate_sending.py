from __future__ import annotations

import pytest

from analyzer_service.errors import UnavailableError
from analyzer_service.otlp import sender as sender_module
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.simulate import Scenario, World, load_scenario, simulate
from analyzer_service.simulate.scenario import Population, Rated
from tests.integration.otlp_capture import receiving


def small() -> Scenario:
    population = Population(rated=Rated(expert=6, intermediate=8, beginner=12), infrequent=20)
    return load_scenario("paper-2020").model_copy(update={"population": population, "days": 14})


def test_everything_a_world_makes_arrives_and_is_accounted_for():
    world = World(small(), 4)
    made = {kind: sum(r for k, _, r in world.batches() if k == kind) for kind in ("traces", "logs")}
    seen: list[tuple[int, int]] = []
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        summary = simulate(world, sender, lambda done, days: seen.append((done, days)))
    assert (summary.spans, summary.events) == (made["traces"], made["logs"])
    assert summary.accepted == summary.spans + summary.events
    assert (summary.rejected, summary.messages) == (0, ())
    assert (summary.rated, summary.infrequent, summary.challenges) == (26, 20, 23)
    assert seen == [(day, 14) for day in range(1, 15)]
    spans = capture.spans()
    assert len(spans) == made["traces"]
    assert len({span.span_id for span in spans}) == made["traces"]
    assert {span.kind for span in spans} == {1, 2, 3}
    records = [
        r for q in capture.logs for g in q.resource_logs for r in g.scope_logs[0].log_records
    ]
    assert len(records) == made["logs"]
    assert {record.event_name for record in records} == {
        "app.widget.click", "mlp.view", "session.start", "session.end",
    }  # fmt: skip


def test_a_receiver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sender_module, "FIRST_ANSWER_SECONDS", 0.2)
    with (
        pytest.raises(UnavailableError, match="does not answer"),
        OtlpSender("127.0.0.1:1") as sender,
    ):
        simulate(World(small(), 4), sender)
