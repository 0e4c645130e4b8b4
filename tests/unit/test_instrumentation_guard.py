"""No fault of the library reaches the program; every fault reaches a test that asks for it."""

from __future__ import annotations

import importlib
import logging

import pytest
from opentelemetry import context

import otel_instrumentation as mlp
from otel_instrumentation import _carried, _guard
from otel_instrumentation.testing import capture


class FaultError(Exception):
    """A fault of the library's own code."""


class HostError(Exception):
    """A failure of the program."""


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.delenv("OTEL_MLP_RAISE", raising=False)
    _guard.forget_said()
    before = _carried.process_attributes()
    token = context.attach(context.get_current())
    yield
    context.detach(token)
    _carried.set_process_attributes(dict(before))
    _guard.forget_said()


def module(name):
    whole = name if name.startswith("opentelemetry.") else f"otel_instrumentation.{name}"
    return importlib.import_module(whole)


def fault(*_args, **_kwargs):
    raise FaultError


def use_operation():
    with mlp.operation("work") as work:
        work.set_attribute("a", "text")
        work.record_wait(1)
        work.record_resources(gpu_used=1)
        return "done"


def use_outcome():
    with mlp.operation("work") as work:
        work.set_outcome("error", error_type="quota")
        return "done"


def use_decorator():
    return mlp.operation("work")(lambda: "done")()


def use_decorator_with_arguments():
    return mlp.operation("work", arguments=lambda: 1 / 0, target=lambda: 1 / 0)(lambda: "done")()


def use_generator():
    @mlp.operation("work")
    def generate():
        yield "do"
        yield "ne"

    return "".join(generate())


def use_click():
    mlp.click("a", arguments=1)
    return "done"


def use_view():
    mlp.view("a")
    return "done"


def use_action():
    mlp.action("a")
    return "done"


def use_session_events():
    mlp.session_end(mlp.session_start("s1"))
    return "done"


def use_blocks():
    with mlp.user("ann"), mlp.session("s"), mlp.stage("x"), mlp.component("y"), mlp.team("z"):
        return "done"


def use_attach():
    mlp.detach(mlp.attach(user="ann"))
    return "done"


def use_process_context():
    mlp.set_process_context(user="ann")
    return "done"


def use_propagate():
    return mlp.propagate(lambda: "done")()


def use_flush():
    mlp.flush()
    return "done"


FAULTS = [
    (use_operation, "_telemetry", "tracer"),
    (use_operation, "_carried", "stamps"),
    (use_operation, "operation", "name_of"),
    (use_operation, "_outcome", "outcome_of"),
    (use_operation, "operation", "clean"),
    (use_outcome, "operation", "StatusCode"),
    (use_decorator, "_decorated", "_wrapper"),
    (use_decorator, "_telemetry", "tracer"),
    (use_decorator_with_arguments, "_telemetry", "tracer"),
    (use_generator, "_telemetry", "tracer"),
    (use_click, "_telemetry", "logger"),
    (use_click, "privacy", "digest"),
    (use_click, "events", "cleaned"),
    (use_view, "events", "name_of"),
    (use_action, "_identifiers", "hex_id"),
    (use_session_events, "_telemetry", "logger"),
    (use_blocks, "context", "attributes_of"),
    (use_blocks, "privacy", "pseudonym"),
    (use_attach, "_carried", "derive"),
    (use_process_context, "_carried", "set_process_attributes"),
    (use_propagate, "opentelemetry.context", "attach"),
    (use_attach, "opentelemetry.context", "detach"),
    (use_flush, "opentelemetry.trace", "get_tracer_provider"),
]


@pytest.mark.parametrize(("use", "where", "what"), FAULTS)
def test_fault_is_swallowed_and_logged_once(use, where, what, monkeypatch, caplog):
    with capture(swallow_errors=True), monkeypatch.context() as broken:
        broken.setattr(module(where), what, fault)
        with caplog.at_level(logging.WARNING):
            assert use() == "done"
            first = len(caplog.records)
            assert use() == "done"
    assert first >= 1
    assert len(caplog.records) == first
    assert all(record.name == "otel_instrumentation" for record in caplog.records)


@pytest.mark.parametrize(("use", "where", "what"), FAULTS)
def test_fault_is_raised_where_tests_ask_for_it(use, where, what, monkeypatch):
    monkeypatch.setenv("OTEL_MLP_RAISE", "true")
    with capture(swallow_errors=True), monkeypatch.context() as broken:
        broken.setattr(module(where), what, fault)
        with pytest.raises((FaultError, ZeroDivisionError, AttributeError)):
            use()


def test_capture_raises_faults_unless_told_otherwise(monkeypatch):
    with capture(), monkeypatch.context() as broken:
        broken.setattr(module("_telemetry"), "logger", fault)
        with pytest.raises(FaultError):
            mlp.click("a")


@pytest.mark.parametrize(
    ("where", "what"),
    [("_telemetry", "tracer"), ("_outcome", "message_of"), ("_carried", "stamps")],
)
def test_failure_of_the_program_passes_through_a_broken_library(where, what, monkeypatch):
    failure = HostError()
    with capture(swallow_errors=True), monkeypatch.context() as broken:
        broken.setattr(module(where), what, fault)
        with pytest.raises(HostError) as caught, mlp.operation("work"):
            raise failure
    assert caught.value is failure


def test_span_ends_and_context_returns_although_noting_the_outcome_fails(monkeypatch):
    with capture(swallow_errors=True) as telemetry:
        with monkeypatch.context() as broken:
            broken.setattr(module("_outcome"), "outcome_of", fault)
            with mlp.operation("first"):
                pass
        with mlp.operation("second"):
            pass
    assert telemetry.span("second").parent_span_id == ""
    assert telemetry.span("first").name == "first"


def test_stamping_faults_do_not_reach_other_instrumentations(monkeypatch, caplog):
    from opentelemetry import trace
    from opentelemetry._logs import get_logger

    with capture(swallow_errors=True) as telemetry, monkeypatch.context() as broken:
        broken.setattr(module("_carried"), "missing", fault)
        trace.get_tracer("another library").start_span("work").end()
        get_logger("another library").emit(body="line")
    assert [span.name for span in telemetry.spans] == ["work"]
    assert [record.body for record in telemetry.records] == ["line"]
    assert len(caplog.records) == 2


def test_interrupts_are_nobodys_fault(monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    with capture(swallow_errors=True), monkeypatch.context() as broken:
        broken.setattr(module("_telemetry"), "tracer", interrupt)
        with pytest.raises(KeyboardInterrupt), mlp.operation("work"):
            pass


def test_wrong_words_warn_and_change_nothing(caplog):
    with capture(swallow_errors=True):
        assert mlp.operation("work")(7) == 7
        assert mlp.operation("work")(HostError) is HostError
        with mlp.scope(usr="ann"):  # type: ignore[call-arg]
            pass
        mlp.detach(None)
    assert any("usr" in record.getMessage() for record in caplog.records)
