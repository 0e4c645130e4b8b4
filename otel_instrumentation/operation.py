"""One platform operation as a span: open a notebook, run a cell, submit a job, deploy.

The same object is a block (``with``, ``async with``) and a decorator (functions, coroutine
functions, generators, asynchronous generators)::

    with operation("submit_job", stage=STAGE_MODEL_TRAINING, arguments=spec) as submitted:
        job = cluster.submit(spec)
        submitted.record_wait(job.queue_seconds)

    @operation("run_cell", component="notebook")
    def run_cell(source): ...

An exception that leaves the operation is noted and goes on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.util.types import AnyValue

from otel_instrumentation import _carried, _guard, _outcome, _settings, _telemetry, privacy, semconv
from otel_instrumentation._text import clean, name_of, qualified_name

_Function = TypeVar("_Function", bound=Callable[..., Any])

UNNAMED: Final = "unnamed"
"""The action of an operation or event whose caller gave it an empty name."""

NO_ARGUMENTS: Final = object()
"""Says that an operation has no arguments to digest (None may be an argument)."""

_Explained = tuple[int, type[BaseException], str]
"""What tells that an exception has its record: its identity, class and message."""

_OPERATION: Final = otel_context.create_key("otel-instrumentation-operation")

RESOURCE_ATTRIBUTES: Final = {
    "resource_class": semconv.RESOURCE_CLASS,
    "gpu_requested": semconv.GPU_REQUESTED,
    "cpu_requested": semconv.CPU_REQUESTED,
    "memory_requested": semconv.MEMORY_REQUESTED,
    "nodes_requested": semconv.NODES_REQUESTED,
    "gpu_used": semconv.GPU_USED,
    "cpu_used": semconv.CPU_USED,
    "memory_used": semconv.MEMORY_USED,
    "limit_hit": semconv.LIMIT_HIT,
}
"""What :meth:`Operation.record_resources` takes, and the attribute each becomes."""


class Operation:
    """A span from entering to leaving, with its outcome; made by :func:`operation`.

    One object is one block at a time. As a decorator it makes an operation for every call.
    """

    __slots__ = (
        "_action",
        "_arguments",
        "_attributes",
        "_context",
        "_explained",
        "_kind",
        "_links",
        "_outcome",
        "_parent",
        "_place",
        "_span",
        "_span_kind",
        "_target",
        "_token",
    )

    def __init__(
        self,
        action: str,
        *,
        kind: str,
        place: _carried.Place,
        target: object,
        arguments: object,
        attributes: Mapping[str, AnyValue] | None,
        span_kind: SpanKind,
        links: Sequence[Link] | None,
    ) -> None:
        self._action = action
        self._kind = kind
        self._place = place
        self._target = target
        self._arguments = arguments
        self._attributes = attributes
        self._span_kind = span_kind
        self._links = links
        self._forget()

    def _forget(self) -> None:
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        self._context: Context | None = None
        self._parent: Operation | None = None
        self._outcome: str | None = None
        self._explained: _Explained | None = None

    # --- what the work says about itself -------------------------------------------------

    @property
    def span(self) -> Span:
        """The span of the operation; one that records nothing outside the block."""
        return self._span if self._span is not None else trace.INVALID_SPAN

    def set_attribute(self, name: str, value: AnyValue) -> None:
        """Sets an attribute of the span; None is left out."""
        try:
            if value is not None:
                self.span.set_attribute(name, clean(value) if isinstance(value, str) else value)
        except Exception as error:
            _guard.swallow("operation.set_attribute", error)

    def set_outcome(self, outcome: str, *, error_type: str | None = None) -> None:
        """Says how the operation ended, where no exception says it.

        An exception that leaves the operation later still makes it an error, unless the
        outcome said here is other than ``ok``.

        Args:
            outcome: One of ``semconv.OUTCOMES``.
            error_type: What went wrong, for the outcome ``error``: a name of low cardinality.
        """
        try:
            if outcome not in semconv.OUTCOMES:
                _guard.warn_once("outcome", "An outcome is one of %s", semconv.OUTCOMES)
                return
            self._outcome = outcome
            if outcome == semconv.OUTCOME_ERROR:
                self._fail(name_of(error_type) or semconv.ERROR_TYPE_OTHER, None)
        except Exception as error:
            _guard.swallow("operation.set_outcome", error)

    def record_wait(self, seconds: float) -> None:
        """Records the seconds spent in a queue before the work began."""
        try:
            waited = float(seconds)
            if 0 <= waited < float("inf"):
                self.span.set_attribute(semconv.WAIT_SECONDS, waited)
            else:
                _guard.warn_once("wait", "A wait is a number of seconds, not %r", waited)
        except Exception as error:
            _guard.swallow("operation.record_wait", error)

    def record_resources(self, **resources: AnyValue) -> None:
        """Records requested and used resources and the limit that was hit.

        Args:
            **resources: The names in :data:`RESOURCE_ATTRIBUTES`; others become
                ``mlp.resource.<name>``.
        """
        for name, value in resources.items():
            self.set_attribute(RESOURCE_ATTRIBUTES.get(name) or f"mlp.resource.{name}", value)

    # --- as a block ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except Exception as error:
            _guard.swallow("operation start", error)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._finish(exc)
        except Exception as error:
            _guard.swallow("operation end", error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def pause(self) -> None:
        """Takes the operation out of the current context, without ending it."""
        try:
            token, self._token = self._token, None
            if token is not None:
                otel_context.detach(token)
        except Exception as error:
            _guard.swallow("operation.pause", error)

    def resume(self) -> None:
        """Puts a paused operation back into the current context."""
        try:
            if self._context is not None and self._token is None:
                self._token = otel_context.attach(self._context)
        except Exception as error:
            _guard.swallow("operation.resume", error)

    # --- as a decorator ------------------------------------------------------------------

    def __call__(self, function: _Function) -> _Function:
        """Wraps a function so that each call, or each run of a generator, is an operation."""
        from otel_instrumentation._decorated import decorated  # noqa: PLC0415 - it imports us

        try:
            return cast("_Function", decorated(function, self))
        except Exception as error:
            _guard.swallow("operation decorator", error)
            return function

    def for_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Operation:
        """Makes the operation of one call; callable targets and arguments get the call's."""
        return Operation(
            self._action,
            kind=self._kind,
            place=self._place,
            target=_of_call(self._target, args, kwargs, None),
            arguments=_of_call(self._arguments, args, kwargs, NO_ARGUMENTS),
            attributes=self._attributes,
            span_kind=self._span_kind,
            links=self._links,
        )

    # --- inside --------------------------------------------------------------------------

    def _start(self) -> None:
        if self._span is not None:
            _guard.warn_once("operation reuse", "An operation is one block at a time")
            return
        context = otel_context.get_current()
        parent = context.get(_OPERATION)
        if self._place:
            context = _carried.derive_place(context, self._place)
        span = _telemetry.tracer().start_span(
            self._action,
            context=context,
            kind=self._span_kind,
            attributes=self._span_attributes(_carried.stamps(context)),
            links=self._links,
        )
        self._span = span
        self._parent = parent if isinstance(parent, Operation) else None
        context = otel_context.set_value(_OPERATION, self, context)
        self._context = trace.set_span_in_context(span, context)
        self._token = otel_context.attach(self._context)

    def _span_attributes(self, stamps: Mapping[str, AnyValue]) -> dict[str, AnyValue]:
        """Puts together what the span starts with; it needs no stamping any more."""
        if self._attributes:
            own = cleaned(self._attributes)
            stamps = {**_carried.missing(own, stamps), **own, **dict(self._place)}
        attributes = {**stamps, semconv.ACTION: self._action, semconv.ACTION_KIND: self._kind}
        if self._target is not None and not callable(self._target):
            attributes[semconv.TARGET_ID] = name_of(self._target)
        if self._arguments is not NO_ARGUMENTS and not callable(self._arguments):
            salt = _settings.current().user_salt
            attributes[semconv.ACTION_DIGEST] = privacy.digest(self._arguments, salt)
        return attributes

    def _finish(self, exception: BaseException | None) -> None:
        span, context, parent = self._span, self._context, self._parent
        explained, outcome = self._explained, self._outcome
        try:
            if span is not None and span.is_recording():
                self._note_outcome(span, outcome, exception)
                if exception is not None and span.get_span_context().trace_flags.sampled:
                    _explain(exception, explained, context, parent)
        finally:
            self.pause()
            self._forget()
            if span is not None:
                span.end()

    def _note_outcome(
        self, span: Span, outcome: str | None, exception: BaseException | None
    ) -> None:
        if outcome is None or outcome == semconv.OUTCOME_OK:
            outcome = _outcome.outcome_of(exception)
            if exception is not None and outcome == semconv.OUTCOME_ERROR:
                self._fail(qualified_name(type(exception)), _outcome.message_of(exception))
        span.set_attribute(semconv.OUTCOME, outcome)

    def _fail(self, error_type: str, description: str | None) -> None:
        self.span.set_attribute(semconv.ERROR_TYPE, error_type)
        self.span.set_status(StatusCode.ERROR, description)


def operation(
    action: str,
    *,
    kind: str = semconv.ACTION_KIND_KEY,
    stage: str | None = None,
    component: str | None = None,
    target: object = None,
    arguments: object = NO_ARGUMENTS,
    attributes: Mapping[str, AnyValue] | None = None,
    time_kind: str | None = None,
    span_kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] | None = None,
) -> Operation:
    """Makes a span of one platform operation, as a block or as a decorator.

    Args:
        action: Name of the action and of the span: low cardinality, no ids in it.
        kind: One of ``semconv.ACTION_KINDS``.
        stage: Stage of the model's life; holds for everything inside too.
        component: Component of the platform; holds for everything inside too.
        target: Id of what is acted on. In a decorator it may be a function of the call's
            arguments.
        arguments: What the action is done with; only a keyed digest is sent. In a decorator
            it may be a function of the call's arguments.
        attributes: Further attributes of the span.
        time_kind: One of ``semconv.TIME_KINDS``, where the duration is such a time.
        span_kind: OpenTelemetry's kind of the span.
        links: Links to other spans.
    """
    place: _carried.Place = ()
    try:
        action = name_of(action) or UNNAMED
        if kind not in semconv.ACTION_KINDS:
            _guard.warn_once("action kind", "An action's kind is one of %s", semconv.ACTION_KINDS)
            kind = semconv.ACTION_KIND_KEY
        if stage:
            place = ((semconv.STAGE, name_of(stage)),)
        if component:
            place = (*place, (semconv.COMPONENT, name_of(component)))
        if time_kind:
            attributes = {semconv.TIME_KIND: time_kind, **(attributes or {})}
    except Exception as error:
        _guard.swallow("operation", error)
    return Operation(
        action,
        kind=kind,
        place=place,
        target=target,
        arguments=arguments,
        attributes=attributes,
        span_kind=span_kind,
        links=links,
    )


def cleaned(attributes: Mapping[str, AnyValue]) -> dict[str, AnyValue]:
    """Copies attributes without those that are None; texts become valid UTF-8."""
    return {
        name: clean(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None
    }


def _explain(
    exception: BaseException,
    explained: _Explained | None,
    context: Context | None,
    parent: Operation | None,
) -> None:
    """Writes the exception's record once, at the innermost operation it leaves."""
    if _outcome.outcome_of(exception) != semconv.OUTCOME_ERROR:
        return
    # Not the exception itself: its frames would keep the host's data alive.
    this = (id(exception), type(exception), _outcome.message_of(exception))
    if parent is not None:
        parent._explained = this
    if this != explained and context is not None:
        _outcome.emit_exception(exception, context)


def _of_call(
    value: object, args: tuple[Any, ...], kwargs: Mapping[str, Any], otherwise: object
) -> object:
    if not callable(value):
        return value
    try:
        return cast("object", value(*args, **kwargs))
    except Exception as error:
        _guard.swallow("operation arguments", error)
        return otherwise
