"""Clicks, views and actions are log records with an event name and an identity."""

from __future__ import annotations

from opentelemetry._logs import get_logger

import otel_instrumentation as mlp
from otel_instrumentation.testing import capture


def test_click():
    with capture() as telemetry:
        mlp.click(
            "run_cell",
            widget="run-button",
            widget_name="Run",
            screen="notebook",
            target="cell-3",
            arguments={"code": "1"},
            stage="feature_engineering",
            component="notebook",
            attributes={"modifier": "shift", "none": None},
        )
    record = telemetry.record("app.widget.click")
    attributes = dict(record.attributes)
    assert len(attributes.pop("log.record.uid")) == 32
    assert len(attributes.pop("mlp.action.digest")) == 16
    assert attributes == {
        "mlp.action": "run_cell",
        "mlp.action.kind": "click",
        "mlp.target.id": "cell-3",
        "mlp.stage": "feature_engineering",
        "mlp.component": "notebook",
        "app.widget.id": "run-button",
        "app.widget.name": "Run",
        "app.screen.name": "notebook",
        "modifier": "shift",
        "mlp.schema.version": "1",
    }
    assert record.severity == 9


def test_click_without_a_widget_has_its_action_as_widget():
    with capture() as telemetry:
        mlp.click("run_cell")
    assert telemetry.record("app.widget.click").attributes["app.widget.id"] == "run_cell"


def test_view_and_action():
    with capture() as telemetry:
        mlp.view("open_catalog", screen="catalog")
        mlp.action("publish_feature", target="f1")
        mlp.action("hover", kind="view")
    view = telemetry.record("mlp.view").attributes
    assert (view["mlp.action.kind"], view["app.screen.name"]) == ("view", "catalog")
    publish, hover = (r.attributes for r in telemetry.records if r.event_name == "mlp.action")
    assert (publish["mlp.action.kind"], publish["mlp.target.id"]) == ("key", "f1")
    assert hover["mlp.action.kind"] == "view"


def test_session_boundaries():
    with capture() as telemetry:
        started = mlp.session_start(previous_id="s0")
        with mlp.session(started):
            mlp.session_end()
        mlp.session_end("s9")
    start, end, other = telemetry.records
    assert [r.event_name for r in telemetry.records] == [
        "session.start",
        "session.end",
        "session.end",
    ]
    assert start.attributes["session.id"] == end.attributes["session.id"] == started
    assert start.attributes["session.previous_id"] == "s0"
    assert other.attributes["session.id"] == "s9"


def test_event_belongs_to_the_span_it_happens_in():
    with capture() as telemetry, mlp.operation("work"):
        mlp.action("inside")
    assert telemetry.record("mlp.action").span_id == telemetry.span("work").span_id


def test_every_record_has_an_identity_of_its_own_and_keeps_one_it_brings():
    with capture() as telemetry:
        for _ in range(100):
            mlp.click("again")
        get_logger("another library").emit(body="a log line")
        get_logger("another library").emit(body="b", attributes={"log.record.uid": "own"})
    uids = [record.attributes["log.record.uid"] for record in telemetry.records]
    assert len(set(uids)) == 102
    assert uids[-1] == "own"


def test_odd_words_are_repaired():
    with capture() as telemetry:
        mlp.click("", widget="\udcff")
        mlp.view(None)
    click, view = (record.attributes for record in telemetry.records)
    assert (click["mlp.action"], click["app.widget.id"]) == ("unnamed", "\\udcff")
    assert view["mlp.action"] == "unnamed"


def test_ordinary_log_lines_of_other_instrumentations_are_stamped():
    with capture() as telemetry, mlp.user("ann"), mlp.stage("model_training"):
        get_logger("another library").emit(body="epoch 1")
    assert telemetry.records[0].attributes["mlp.stage"] == "model_training"
    assert len(telemetry.records[0].attributes["user.hash"]) == 32
