"""No fault of the library reaches the program; every fault reaches a test that asks for it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pathlib
from types import SimpleNamespace
from typing import ClassVar

import grpc
import pytest
from opentelemetry import context

import otel_instrumentation as mlp
from otel_instrumentation import _carried, _guard
from otel_instrumentation.testing import capture

IDENTITY = pathlib.Path(mlp.__file__).parent / "identity"


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


def use_shutdown():
    mlp.shutdown()
    return "done"


def use_configure():
    # As in a process that has not called it.
    configured = module("configure")._state
    before, configured.configured = configured.configured, False
    try:
        mlp.configure(stage="x")
    finally:
        configured.configured = before
    return "done"


def use_injection():
    from opentelemetry.propagators.composite import CompositePropagator

    with mlp.user("ann"):
        module("_travel").TrustedHostsPropagator(CompositePropagator([])).inject({})
    return "done"


def use_flask():
    import flask

    app = flask.Flask("host")
    app.testing = True  # errors reach the caller
    module("identity.flask").identify_users(app)
    app.get("/")(lambda: "done")
    return app.test_client().get("/", headers={"X-Forwarded-User": "ann"}).text


def use_asgi():
    async def host(scope, receive, send):
        send("done")

    answers = []
    app = module("identity.asgi").IdentityMiddleware(host)
    headers = [(b"x-forwarded-user", b"ann")]
    asyncio.run(app({"type": "http", "headers": headers}, None, answers.append))
    return answers[0]


def use_django():
    class Request:
        META: ClassVar = {}
        headers: ClassVar = {"x-forwarded-user": "ann"}

    return module("identity.django").IdentityMiddleware(lambda request: "done")(Request())


def use_grpc():
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: "done")
    details = SimpleNamespace(method="/m", invocation_metadata=[("x-forwarded-user", "ann")])
    interceptor = module("identity.grpc").IdentityInterceptor()
    return interceptor.intercept_service(lambda _: handler, details).unary_unary(None, None)


def use_instrumentor():
    module("distro").MlpInstrumentor()._instrument()
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
    (use_shutdown, "opentelemetry.trace", "get_tracer_provider"),
    (use_configure, "_settings", "from_environment"),
    (use_configure, "configure", "install"),
    (use_injection, "_carried", "outgoing"),
    (use_injection, "_travel", "_callee_is_trusted"),
    (use_flask, "identity._request", "attributes_of"),
    (use_flask, "identity.flask", "user_in_headers"),
    (use_asgi, "identity._request", "attach"),
    (use_asgi, "identity.asgi", "header_of"),
    (use_django, "identity._request", "attributes_of"),
    (use_django, "identity.django", "user_in_headers"),
    (use_grpc, "identity._request", "attributes_of"),
    (use_grpc, "identity.grpc", "found"),
    (use_instrumentor, "distro", "stamp_present"),
]

USED_BY = {
    "Operation": use_operation,
    "action": use_action,
    "attach": use_attach,
    "click": use_click,
    "component": use_blocks,
    "configure": use_configure,
    "detach": use_attach,
    "flush": use_flush,
    "operation": use_operation,
    "propagate": use_propagate,
    "scope": use_blocks,
    "session": use_blocks,
    "session_end": use_session_events,
    "session_start": use_session_events,
    "set_process_context": use_process_context,
    "shutdown": use_shutdown,
    "stage": use_blocks,
    "team": use_blocks,
    "user": use_blocks,
    "view": use_view,
}
PURE = {"__version__", "digest", "is_pseudonym", "pseudonym"}
"""Compute something for the caller, who wants to know when it cannot be computed."""


def test_a_fault_is_tried_at_every_public_name():
    assert set(USED_BY) | PURE == set(mlp.__all__)
    assert set(USED_BY.values()) <= {use for use, _, _ in FAULTS}
    helpers = {file.stem for file in IDENTITY.glob("[a-z]*.py")}
    assert {f"use_{helper}" for helper in helpers} <= {use.__name__ for use, _, _ in FAULTS}


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
