"""What is carried reaches every span and log record, in every thread and task."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context, propagate, trace

import otel_instrumentation as mlp
from otel_instrumentation import _carried, _guard, semconv
from otel_instrumentation.privacy import pseudonym
from otel_instrumentation.testing import TEST_SALT, capture

ANN = pseudonym("ann", TEST_SALT)
BOB = pseudonym("bob", TEST_SALT)


@pytest.fixture
def process_context():
    """Gives back what holds for the process, and the calling context, after the test."""
    before = _carried.process_attributes()
    token = context.attach(context.get_current())
    yield
    _carried.set_process_attributes(dict(before))
    context.detach(token)


def foreign_span(name="foreign", **attributes):
    trace.get_tracer("another library").start_span(name, attributes=attributes or None).end()


def test_everything_in_the_blocks_is_stamped():
    with (
        capture() as telemetry,
        mlp.user("ann", roles=["data scientist"]),
        mlp.session("s1"),
        mlp.stage("feature_engineering"),
        mlp.component("notebook"),
        mlp.team("search"),
    ):
        foreign_span()
        mlp.click("run")
        with mlp.operation("cell"):
            pass
    expected = {
        "user.hash": ANN,
        "user.roles": ("data scientist",),
        "session.id": "s1",
        "mlp.stage": "feature_engineering",
        "mlp.component": "notebook",
        "mlp.team": "search",
        "mlp.schema.version": "1",
    }
    for stamped in (*telemetry.spans, *telemetry.records):
        assert stamped.attributes.items() >= expected.items()
    assert len(telemetry.spans) == 2
    assert len(telemetry.records) == 1


def test_nothing_is_left_after_the_blocks():
    before = context.get_current()
    with mlp.scope(user="ann", session="s", team="t", stage="st", component="c"):
        assert context.get_current() != before
    assert context.get_current() == before


def test_blocks_nest_and_a_nearer_user_replaces_the_other_whole():
    with capture() as telemetry, mlp.user("ann", roles=["admin"]), mlp.session("s1"):
        with mlp.user("bob"):
            foreign_span("inner")
        foreign_span("outer")
    inner, outer = telemetry.span("inner").attributes, telemetry.span("outer").attributes
    assert inner["user.hash"] == BOB
    assert "user.roles" not in inner
    assert inner["session.id"] == outer["session.id"] == "s1"
    assert outer["user.hash"] == ANN


def test_what_a_span_says_itself_wins():
    place = {"stage": "model_training", "component": "jobs"}
    with capture() as telemetry, mlp.scope(user="ann", session="s1", **place):
        foreign_span(**{"mlp.stage": "own", "session.id": "own", "user.hash": BOB})
        with mlp.operation("work", stage="mine", attributes={"session.id": "own"}):
            pass
    foreign = telemetry.span("foreign").attributes
    assert foreign["mlp.stage"] == foreign["session.id"] == "own"
    assert foreign["user.hash"] == BOB
    assert foreign["mlp.component"] == "jobs"
    work = telemetry.span("work").attributes
    assert (work["mlp.stage"], work["session.id"]) == ("mine", "own")
    assert (work["mlp.component"], work["user.hash"]) == ("jobs", ANN)


@pytest.mark.parametrize("name", ["user.id", "enduser.id"])
def test_span_that_names_its_user_is_about_that_user(name):
    with capture() as telemetry, mlp.user("ann", roles=["admin"]):
        foreign_span(**{name: "bob"})
        with mlp.operation("work", attributes={name: "bob"}):
            pass
    for span in telemetry.spans:
        assert span.attributes["user.hash"] == BOB
        assert "user.roles" not in span.attributes


def test_without_a_salt_the_id_itself_leaves_and_one_warning_says_so(caplog):
    _guard.forget_said()
    with capture(salt="") as telemetry, caplog.at_level(logging.WARNING):
        for _ in range(2):
            with mlp.user("ann"), mlp.session("s1"):
                foreign_span()
                assert not baggage.get_all()
    for span in telemetry.spans:
        assert span.attributes["user.id"] == "ann"
        assert "user.hash" not in span.attributes
    assert [r.message for r in caplog.records if "OTEL_MLP_USER_SALT" in r.message] != []
    assert len(caplog.records) == 1


def test_pseudonym_is_taken_as_it_is_and_anything_else_is_no_pseudonym():
    with capture() as telemetry:
        with mlp.user(pseudonym=BOB):
            foreign_span("known")
        with mlp.user(pseudonym="bob"):
            foreign_span("unknown")
    assert telemetry.span("known").attributes["user.hash"] == BOB
    assert "user.hash" not in telemetry.span("unknown").attributes


@pytest.mark.parametrize("nobody", [None, ""])
def test_nobody_is_nobody(nobody):
    with capture() as telemetry, mlp.user(nobody), mlp.session(nobody), mlp.stage(nobody):
        foreign_span()
    stamped = telemetry.span("foreign").attributes.keys()
    assert not stamped & {"user.hash", "user.id", "session.id", "mlp.stage"}


def test_process_context_holds_everywhere_until_something_nearer_does(process_context):
    mlp.set_process_context(user="ann", session="s1", stage="model_training")
    mlp.set_process_context(component="kernel")
    with capture() as telemetry:
        mlp.set_process_context(user="ann")
        thread = threading.Thread(target=foreign_span)
        thread.start()
        thread.join()
        with mlp.user("bob"), mlp.stage("model_deployment"):
            foreign_span("nearer")
    everywhere = telemetry.span("foreign").attributes
    assert everywhere["user.hash"] == ANN
    assert "user.id" not in everywhere
    assert everywhere["mlp.stage"] == "model_training"
    assert everywhere["mlp.component"] == "kernel"
    nearer = telemetry.span("nearer").attributes
    assert (nearer["user.hash"], nearer["mlp.stage"]) == (BOB, "model_deployment")
    assert nearer["session.id"] == "s1"


def test_process_context_enters_the_callers_baggage(process_context):
    with capture():
        mlp.set_process_context(user="ann", team="search")
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    assert f"user.hash={ANN}" in carrier["baggage"]
    assert "mlp.team=search" in carrier["baggage"]


def test_attach_and_detach_do_what_the_blocks_do():
    with capture() as telemetry:
        token = mlp.attach(user="ann", stage="model_training")
        foreign_span("during")
        mlp.detach(token)
        foreign_span("after")
    assert telemetry.span("during").attributes["user.hash"] == ANN
    assert "user.hash" not in telemetry.span("after").attributes


def test_propagated_functions_keep_the_context_in_many_threads_at_once():
    names = [f"n{number}" for number in range(20)]
    with (
        capture() as telemetry,
        ThreadPoolExecutor(4) as pool,
        mlp.user("ann"),
        mlp.operation("parent"),
    ):
        work = mlp.propagate(lambda name: foreign_span(name) or name)
        assert list(pool.map(work, names)) == names
        pool.submit(foreign_span, "unwrapped").result()
    parent = telemetry.span("parent").span_id
    for name in names:
        span = telemetry.span(name)
        assert span.attributes["user.hash"] == ANN
        assert span.parent_span_id == parent
    assert "user.hash" not in telemetry.span("unwrapped").attributes


def test_propagated_function_leaves_the_thread_as_it_was_and_passes_exceptions():
    failure = LookupError("no")

    @mlp.propagate
    def fail():
        raise failure

    def in_thread():
        before = context.get_current()
        with pytest.raises(LookupError) as caught:
            fail()
        assert caught.value is failure
        assert context.get_current() is before

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_thread).result()


def test_tasks_do_not_see_each_others_users():
    async def request(name):
        async with mlp.user(name):
            await asyncio.sleep(0.001)
            foreign_span(name)
            await asyncio.to_thread(foreign_span, f"{name} in a thread")

    async def serve():
        await asyncio.gather(*(request(f"user{number}") for number in range(5)))

    with capture() as telemetry:
        asyncio.run(serve())
    for number in range(5):
        expected = pseudonym(f"user{number}", TEST_SALT)
        assert telemetry.span(f"user{number}").attributes["user.hash"] == expected
        assert telemetry.span(f"user{number} in a thread").attributes["user.hash"] == expected


def test_baggage_carries_pseudonym_session_team_and_stage_alone():
    with capture(), mlp.scope(user="ann", session="s 1", team="t", stage="x", component="y"):
        assert dict(baggage.get_all()) == {
            "user.hash": ANN,
            "session.id": "s 1",
            "mlp.team": "t",
            "mlp.stage": "x",
        }
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    received = propagate.extract(carrier, context.Context())
    with capture() as telemetry:
        token = context.attach(received)
        foreign_span()
        with mlp.operation("work"):
            mlp.view("page")
        context.detach(token)
    for stamped in (*telemetry.spans, *telemetry.records):
        assert (
            stamped.attributes.items()
            >= {
                "user.hash": ANN,
                "session.id": "s 1",
                "mlp.team": "t",
                "mlp.stage": "x",
            }.items()
        )
        assert "mlp.component" not in stamped.attributes


def test_without_a_pseudonym_no_baggage_leaves_and_a_callers_does_not_travel_on():
    with capture(salt=""):
        with mlp.session("s1"), mlp.team("t"):
            assert not baggage.get_all()
        token = context.attach(baggage.set_baggage("user.hash", ANN))
        with mlp.user("bob"):
            assert "user.hash" not in baggage.get_all()
        context.detach(token)


def test_context_goes_before_baggage_and_baggage_before_the_process(process_context):
    with capture() as telemetry:
        mlp.set_process_context(user="carol", roles=["admin"], team="process")
        received = baggage.set_baggage("user.hash", BOB, context.Context())
        received = baggage.set_baggage("mlp.team", "caller", received)
        token = context.attach(received)
        foreign_span("received")
        with mlp.user("ann"):
            foreign_span("nearer")
        context.detach(token)
    received_span = telemetry.span("received").attributes
    assert received_span["user.hash"] == BOB
    assert received_span["mlp.team"] == "caller"
    assert "user.roles" not in received_span
    assert telemetry.span("nearer").attributes["user.hash"] == ANN


@pytest.mark.parametrize("value", ["ann", "A" * 32, "", 7, "x" * 5000])
def test_baggage_that_is_none_of_ours_is_not_believed(value):
    received = baggage.set_baggage("user.hash", value, context.Context())
    received = baggage.set_baggage("mlp.team", "a\nb", received)
    with capture() as telemetry:
        token = context.attach(received)
        foreign_span()
        context.detach(token)
    assert not telemetry.span("foreign").attributes.keys() & {"user.hash", "mlp.team"}


def test_texts_that_cannot_be_encoded_break_no_request():
    with capture() as telemetry, mlp.scope(user="j\udcfc", session="s\udcff", team="\ud800"):
        propagate.inject({})
        foreign_span()
    for value in telemetry.span("foreign").attributes.values():
        assert str(value).encode("utf-8")


def test_context_names_the_attributes_of_the_contract():
    with capture() as telemetry, mlp.scope(user="a", session="b", stage="c", component="d"):
        foreign_span()
    assert telemetry.span("foreign").attributes.keys() == {
        semconv.USER_HASH,
        semconv.SESSION_ID,
        semconv.STAGE,
        semconv.COMPONENT,
        semconv.SCHEMA_VERSION_ATTRIBUTE,
    }
