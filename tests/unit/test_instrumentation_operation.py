"""Operations: one span per block or call, its outcome, and exceptions that pass unchanged."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import traceback
import weakref

import pytest
from opentelemetry import trace

from otel_instrumentation import operation, semconv
from otel_instrumentation.testing import capture


class PlatformError(Exception):
    pass


def test_block_becomes_a_span_with_what_was_said():
    with (
        capture() as telemetry,
        operation(
            "submit_job",
            stage=semconv.STAGE_MODEL_TRAINING,
            component="jobs",
            target="job-7",
            arguments={"gpus": 2},
            attributes={"queue": "night", "none": None},
            time_kind=semconv.TIME_KIND_LOAD,
        ) as submitted,
    ):
        submitted.set_attribute("size", 3)
        submitted.record_wait(2.5)
        submitted.record_resources(gpu_requested=2, limit_hit="time", disk=5)
    span = telemetry.span("submit_job")
    assert span.status == "UNSET"
    assert (
        span.attributes.items()
        >= {
            "mlp.action": "submit_job",
            "mlp.action.kind": "key",
            "mlp.stage": "model_training",
            "mlp.component": "jobs",
            "mlp.target.id": "job-7",
            "mlp.time.kind": "load",
            "mlp.outcome": "ok",
            "mlp.wait.seconds": 2.5,
            "mlp.resource.gpu.requested": 2,
            "mlp.resource.limit.hit": "time",
            "mlp.resource.disk": 5,
            "mlp.schema.version": "1",
            "queue": "night",
            "size": 3,
        }.items()
    )
    assert len(span.attributes["mlp.action.digest"]) == 16
    assert "none" not in span.attributes


def test_error_is_noted_and_passes_unchanged():
    failure = PlatformError("disk full")
    with capture() as telemetry, pytest.raises(PlatformError) as caught, operation("save"):
        raise failure
    assert caught.value is failure
    assert [frame.name for frame in traceback.extract_tb(failure.__traceback__)] == [
        inspect.currentframe().f_code.co_name
    ]
    span = telemetry.span("save")
    assert (span.status, span.status_message) == ("ERROR", "disk full")
    assert span.attributes["mlp.outcome"] == "error"
    assert span.attributes["error.type"] == f"{__name__}.PlatformError"
    assert span.event_names == ()


def test_exception_is_recorded_once_at_the_innermost_operation():
    with (
        capture() as telemetry,
        pytest.raises(ValueError, match="bad"),
        operation("outer"),
        operation("inner"),
    ):
        raise ValueError("bad")
    record = telemetry.record("exception")
    assert record.span_id == telemetry.span("inner").span_id
    assert record.attributes["exception.type"] == "ValueError"
    assert record.attributes["exception.message"] == "bad"
    assert 'raise ValueError("bad")' in record.attributes["exception.stacktrace"]
    assert "mlp.action" not in record.attributes
    assert len(record.attributes["log.record.uid"]) == 32
    assert telemetry.span("outer").status == telemetry.span("inner").status == "ERROR"


def test_another_exception_after_a_handled_one_is_recorded_too():
    @operation("outer")
    def try_and_give_up():
        with pytest.raises(ValueError, match="first"), operation("inner"):
            raise ValueError("first")
        raise ValueError("gave up")

    with capture() as telemetry, pytest.raises(ValueError, match="gave up"):
        try_and_give_up()
    messages = [record.attributes["exception.message"] for record in telemetry.records]
    assert messages == ["first", "gave up"]


@pytest.mark.parametrize(
    ("exception", "outcome", "status"),
    [
        (KeyboardInterrupt(), "cancelled", "UNSET"),
        (asyncio.CancelledError(), "cancelled", "UNSET"),
        (concurrent.futures.CancelledError(), "cancelled", "UNSET"),
        (GeneratorExit(), "cancelled", "UNSET"),
        (SystemExit(0), "ok", "UNSET"),
        (SystemExit(), "ok", "UNSET"),
        (SystemExit(2), "error", "ERROR"),
        (MemoryError(), "error", "ERROR"),
    ],
)
def test_outcome_by_exception(exception, outcome, status):
    with capture() as telemetry, pytest.raises(type(exception)) as caught, operation("work"):
        raise exception
    assert caught.value is exception
    span = telemetry.span("work")
    assert (span.attributes["mlp.outcome"], span.status) == (outcome, status)
    assert ("error.type" in span.attributes) == (outcome == "error")


def test_outcome_that_was_said_holds_but_ok_does_not_hide_a_failure():
    def say_and_fail(outcome):
        with operation(f"told {outcome}") as told:
            told.set_outcome(outcome)
            raise PlatformError

    with capture() as telemetry:
        with operation("told error") as told:
            told.set_outcome("error", error_type="quota_exceeded")
        for outcome in ("cancelled", "ok"):
            with pytest.raises(PlatformError):
                say_and_fail(outcome)
    span = telemetry.span("told error")
    assert (span.status, span.attributes["error.type"]) == ("ERROR", "quota_exceeded")
    assert span.attributes["mlp.outcome"] == "error"
    assert telemetry.span("told cancelled").attributes["mlp.outcome"] == "cancelled"
    assert telemetry.span("told ok").attributes["mlp.outcome"] == "error"


def test_exception_whose_message_fails_is_noted_all_the_same():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no message")

    with capture() as telemetry, pytest.raises(MuteError), operation("work"):
        raise MuteError
    assert telemetry.span("work").attributes["error.type"].endswith("MuteError")
    assert telemetry.record("exception").attributes["exception.message"] == ""


def test_place_holds_for_everything_inside_and_ends_with_the_block():
    with capture() as telemetry:
        with operation("train", stage="model_training", component="jobs"):
            trace.get_tracer("another library").start_span("GET").end()
        trace.get_tracer("another library").start_span("after").end()
    inside = telemetry.span("GET")
    assert inside.parent_span_id == telemetry.span("train").span_id
    assert inside.attributes["mlp.stage"] == "model_training"
    assert inside.attributes["mlp.component"] == "jobs"
    assert not {"mlp.stage", "mlp.component"} & telemetry.span("after").attributes.keys()


def test_decorated_function_keeps_its_face_and_makes_a_span_per_call():
    @operation("fit", target=lambda model, **_: model, arguments=lambda model, **kw: kw)
    def fit(model, **settings):
        """Fit a model."""
        return model, settings

    with capture() as telemetry:
        assert fit("m1", lr=0.1) == ("m1", {"lr": 0.1})
        fit("m1", lr=0.1)
        fit("m2", lr=0.2)
    assert (fit.__name__, fit.__doc__) == ("fit", "Fit a model.")
    targets = [span.attributes["mlp.target.id"] for span in telemetry.spans]
    assert targets == ["m1", "m1", "m2"]
    first, second, third = (span.attributes["mlp.action.digest"] for span in telemetry.spans)
    assert first == second != third


def test_decorated_methods_bind():
    class Notebook:
        @operation("open")
        def open(self):
            return self

        @operation("kind")
        @classmethod
        def kind(cls):
            return cls

        @operation("version")
        @staticmethod
        def version():
            return 3

    notebook = Notebook()
    with capture() as telemetry:
        assert notebook.open() is notebook
        assert notebook.kind() is Notebook
        assert notebook.version() == 3
    assert [span.name for span in telemetry.spans] == ["open", "kind", "version"]


def test_decorated_recursion_nests():
    @operation("count")
    def count(number):
        return 0 if number == 0 else 1 + count(number - 1)

    with capture() as telemetry:
        assert count(2) == 2
    inner, middle, outer = telemetry.spans
    assert inner.parent_span_id == middle.span_id
    assert middle.parent_span_id == outer.span_id


def test_decorated_coroutine_function():
    @operation("deploy")
    async def deploy(fail):
        await asyncio.sleep(0)
        if fail:
            raise PlatformError
        return "up"

    async def cancelled():
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @operation("slow")
    async def slow():
        await asyncio.sleep(60)

    assert inspect.iscoroutinefunction(deploy)
    with capture() as telemetry:
        assert asyncio.run(deploy(False)) == "up"
        with pytest.raises(PlatformError):
            asyncio.run(deploy(True))
        asyncio.run(cancelled())
    outcomes = [(span.name, span.attributes["mlp.outcome"]) for span in telemetry.spans]
    assert outcomes == [("deploy", "ok"), ("deploy", "error"), ("slow", "cancelled")]


def test_async_block():
    async def work():
        async with operation("upload"):
            await asyncio.sleep(0)

    with capture() as telemetry:
        asyncio.run(work())
    assert telemetry.span("upload").attributes["mlp.outcome"] == "ok"


def test_tasks_of_one_operation_are_its_children_and_no_ones_parents():
    async def part(name):
        with operation(name):
            await asyncio.sleep(0.001)

    async def work():
        with operation("whole"):
            await asyncio.gather(part("a"), part("b"))

    with capture() as telemetry:
        asyncio.run(work())
    whole = telemetry.span("whole").span_id
    assert telemetry.span("a").parent_span_id == whole
    assert telemetry.span("b").parent_span_id == whole


def test_decorated_generator_lasts_from_first_value_to_end():
    @operation("read")
    def read(count):
        for number in range(count):
            received = yield number
            with operation("inside"):
                pass
            if received:
                return received
        return "done"

    assert inspect.isgeneratorfunction(read)
    with capture() as telemetry:
        items = read(2)
        assert telemetry.spans == []
        assert next(items) == 0
        with operation("consumer"):
            pass
        with pytest.raises(StopIteration) as stopped:
            items.send("enough")
    assert stopped.value.value == "enough"
    assert telemetry.span("consumer").parent_span_id == ""
    assert telemetry.span("inside").parent_span_id == telemetry.span("read").span_id
    assert telemetry.span("read").attributes["mlp.outcome"] == "ok"


def test_generator_left_early_is_cancelled_and_one_that_fails_an_error():
    @operation("read")
    def read():
        try:
            yield 1
        except LookupError:
            yield 2
        raise PlatformError

    with capture() as telemetry:
        left = read()
        next(left)
        left.close()
        thrown = read()
        next(thrown)
        assert thrown.throw(LookupError()) == 2
        with pytest.raises(PlatformError):
            next(thrown)
    assert [span.attributes["mlp.outcome"] for span in telemetry.spans] == ["cancelled", "error"]


def test_decorated_async_generator():
    @operation("stream")
    async def stream(fail):
        yield 1
        await asyncio.sleep(0)
        if fail:
            raise PlatformError
        yield 2

    async def consume(items):
        async for _ in items:
            with operation("consumer"):
                pass

    async def work():
        assert [item async for item in stream(False)] == [1, 2]
        with pytest.raises(PlatformError):
            await consume(stream(True))
        left = stream(False)
        await anext(left)
        await left.aclose()

    assert inspect.isasyncgenfunction(stream)
    with capture() as telemetry:
        asyncio.run(work())
    outcomes = [s.attributes["mlp.outcome"] for s in telemetry.spans if s.name == "stream"]
    assert outcomes == ["ok", "error", "cancelled"]
    assert telemetry.span("consumer").parent_span_id == ""


def test_operation_can_be_entered_again_after_it_ended():
    again = operation("again")
    with capture() as telemetry:
        for _ in range(2):
            with again:
                pass
    assert [span.name for span in telemetry.spans] == ["again", "again"]
    assert telemetry.spans[0].span_id != telemetry.spans[1].span_id


def test_operation_does_not_keep_the_data_of_a_failed_call_alive():
    class Data:
        pass

    def fail(watch):
        data = Data()
        watch.append(weakref.ref(data))
        raise PlatformError

    watched: list[weakref.ref[Data]] = []
    with capture(), operation("session"):
        try:
            with operation("cell"):
                fail(watched)
        except PlatformError:
            pass
        gc.collect()
        assert watched[0]() is None


def test_texts_that_cannot_be_encoded_are_repaired():
    broken = operation("open\udcff", target="a\ud800", attributes={"x": "\udcfe"})
    with capture() as telemetry, broken:
        broken.set_attribute("y", "\udcfd")
    span = telemetry.spans[0]
    texts = [value for value in span.attributes.values() if isinstance(value, str)]
    assert all(text.encode("utf-8") for text in texts)
    assert span.attributes["y"] == "\\udcfd"


def test_unusable_words_are_left_out():
    with capture() as telemetry, operation("", kind="no kind") as odd:
        odd.record_wait(-1)
        odd.record_wait(float("nan"))
        odd.set_outcome("splendid")
    span = telemetry.span("unnamed")
    assert span.attributes["mlp.action.kind"] == "key"
    assert span.attributes["mlp.outcome"] == "ok"
    assert "mlp.wait.seconds" not in span.attributes
