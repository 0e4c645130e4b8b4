"""Whom the work is for is told to hosts of the platform, and to no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import otel_instrumentation as mlp
from otel_instrumentation import _settings, _travel
from otel_instrumentation.testing import TEST_SALT, capture

ANN = mlp.pseudonym("ann", TEST_SALT)
OURS = {"user.hash": ANN, "session.id": "s1", "mlp.team": "t", "mlp.stage": "model_training"}
EVERYTHING = {"user": "ann", "session": "s1", "team": "t", "stage": "model_training"}


@pytest.fixture(autouse=True)
def propagator() -> Iterator[None]:
    before = propagate.get_global_textmap()
    _travel.install()
    _travel.install()
    yield
    propagate.set_global_textmap(before)


def sent(
    host: str, *, kind: SpanKind = SpanKind.CLIENT, named: str = "url.full"
) -> dict[str, object]:
    """Return the baggage that a client of a host sends."""
    address = f"https://{host}/path" if "url" in named else host
    carrier: dict[str, str] = {}
    with trace.get_tracer("client").start_as_current_span(
        "call", kind=kind, attributes={named: address}
    ):
        propagate.inject(carrier)
    assert "traceparent" in carrier
    return dict(baggage.get_all(W3CBaggagePropagator().extract(carrier, context.Context())))


@pytest.mark.parametrize(
    "host",
    [
        "feature-store",
        "127.0.0.1",
        "10.1.2.3:8080",
        "[::1]",
        "store.team.svc",
        "db.internal",
        "LOCALHOST",
    ],
)
@pytest.mark.parametrize("named", ["url.full", "http.url"])
def test_hosts_inside_learn_user_session_team_and_stage(host, named):
    with capture(), mlp.scope(**EVERYTHING):
        assert sent(host, named=named) == OURS


@pytest.mark.parametrize(
    "host", ["api.example.org", "8.8.8.8", "[2001:4860:4860::8888]", "internal.example.org."]
)
@pytest.mark.parametrize("named", ["url.full", "http.url"])
def test_others_learn_nothing_of_ours(host, named):
    with capture(), mlp.scope(**EVERYTHING):
        token = context.attach(baggage.set_baggage("theirs", "kept"))
        assert sent(host, named=named) == {"theirs": "kept"}
        context.detach(token)
        assert dict(baggage.get_all()) == OURS  # what the context carries stays


def test_addresses_count_where_there_is_no_url():
    with capture(), mlp.scope(**EVERYTHING):
        assert sent("api.example.org", named="server.address") == {}
        assert sent("store", named="net.peer.name") == OURS


@pytest.mark.parametrize("trusted", [("api.example.org",), ("*.example.org",), ("*",)])
def test_the_operator_names_hosts_that_may_know(trusted):
    with capture(), mlp.scope(**EVERYTHING):
        before = _settings.current()
        _settings.use(_settings.Settings(user_salt=TEST_SALT, trusted_hosts=trusted))
        assert sent("API.example.org") == OURS
        assert (sent("api.example.com") == {}) is (trusted != ("*",))
        _settings.use(before)


def test_work_for_nobody_says_nothing_and_stage_alone_does_not_travel():
    with capture(), mlp.scope(session="s1", stage="model_training"):
        assert sent("feature-store") == {}


def test_a_raw_id_never_travels():
    with capture(salt="", swallow_errors=True), mlp.scope(**EVERYTHING):
        assert sent("feature-store") == {}


def test_messages_to_brokers_and_calls_by_hand_carry_it():
    with capture(), mlp.scope(**EVERYTHING):
        assert sent("api.example.org", kind=SpanKind.PRODUCER) == OURS
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        assert ANN in carrier["baggage"]


def test_a_span_that_was_sampled_away_does_not_say_whom_it_calls():
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("client")
    with capture(), mlp.scope(**EVERYTHING):
        carrier: dict[str, str] = {}
        with tracer.start_as_current_span("call", kind=SpanKind.CLIENT):
            propagate.inject(carrier)
        assert "baggage" not in carrier


def test_a_fault_sends_nothing_of_ours(monkeypatch):
    with capture(swallow_errors=True), mlp.scope(**EVERYTHING), monkeypatch.context() as broken:
        broken.setattr(_travel, "_callee_is_trusted", lambda _: 1 / 0)
        assert sent("feature-store") == {}


def test_an_operations_stage_travels_and_a_process_with_a_stage_keeps_its_own(monkeypatch):
    from otel_instrumentation import _carried

    with capture() as telemetry:
        with mlp.user("ann"), mlp.operation("train", stage="model_training"):
            assert sent("feature-store")["mlp.stage"] == "model_training"
        received = baggage.set_baggage("mlp.stage", "model_training", context.Context())
        token = context.attach(received)
        with mlp.operation("without"):
            pass
        monkeypatch.setattr(
            _carried, "_process", {**_carried._process, "mlp.stage": "feature_engineering"}
        )
        with mlp.operation("with"):
            pass
        context.detach(token)
    assert telemetry.span("without").attributes["mlp.stage"] == "model_training"
    assert telemetry.span("with").attributes["mlp.stage"] == "feature_engineering"


@contextmanager
def echoing() -> Iterator[tuple[int, list[str]]]:
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get("baggage", ""))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port, heard
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("conventions", ["", "http"])
def test_the_stock_instrumentation_of_requests_is_held_to_it(monkeypatch, conventions):
    from opentelemetry.instrumentation import _semconv

    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", conventions)
    monkeypatch.setattr(_semconv._OpenTelemetrySemanticConventionStability, "_initialized", False)
    with capture(), echoing() as (port, heard), mlp.scope(**EVERYTHING):
        RequestsInstrumentor().instrument()
        try:
            requests.get(f"http://127.0.0.1:{port}/", timeout=10)
            # The same server, called by a name that could be anybody's.
            proxies = {"http": f"http://127.0.0.1:{port}"}
            requests.get("http://api.example.org/", timeout=10, proxies=proxies)
        finally:
            RequestsInstrumentor().uninstrument()
    inside, outside = heard
    assert ANN in inside
    assert outside == ""
