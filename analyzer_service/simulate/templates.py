"""The bytes that thousands of simulated records share: who, where and what, encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from analyzer_service.otlp import encode
from analyzer_service.simulate.catalogue import NO_ERROR, Catalogue
from analyzer_service.simulate.population import People
from otel_instrumentation import __version__, semconv

GATEWAY: Final = "gateway"
GATEWAY_SERVICE: Final = "platform-gateway"
BROWSER_SERVICE: Final = "platform-ui"
"""Where clicks and views come from."""

UPSTREAM_ERROR: Final = "UpstreamError"
"""What an operation says when the backend it called has failed: propagated, not its own."""

UPKEEP_ERROR: Final = "UpkeepSkipped"
"""How a backend's own maintenance fails, now and then."""

TARGETS: Final = 500
"""Different things (data sets, jobs, models) that actions are about."""

_DIGEST_DIGITS: Final = 16
_UID_DIGITS: Final = 32
_BAD_GATEWAY: Final = 502
_INTERNAL_ERROR: Final = 500
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class SpanTemplate:
    """All of a span that does not vary between its occurrences."""

    service: str
    name: str
    kind: encode.SpanKind
    attributes: bytes
    status: encode.StatusCode = encode.StatusCode.UNSET
    status_message: str = ""


@dataclass(frozen=True, slots=True)
class TraceTemplate:
    """The spans of one action with one ending; what a shape does not need is left out."""

    alone: SpanTemplate
    gateway: SpanTemplate
    operation: SpanTemplate
    inner: SpanTemplate
    call: SpanTemplate
    backend: SpanTemplate | None


class Templates:
    """Encoded parts of one world, built when first needed."""

    def __init__(self, catalogue: Catalogue, people: People) -> None:
        self._catalogue = catalogue
        self._people = people
        self._traces: dict[tuple[int, int], TraceTemplate] = {}
        self._events: dict[tuple[int, bool, int], bytes] = {}
        self._resources: dict[str, bytes] = {}
        self.scope = encode.scope("otel_instrumentation", __version__)
        blank_digest, blank_uid = "0" * _DIGEST_DIGITS, "0" * _UID_DIGITS
        self.digest_prefix = encode.span_attributes({semconv.ACTION_DIGEST: blank_digest})[
            :-_DIGEST_DIGITS
        ]
        self.uid_prefix = encode.log_attributes({semconv.LOG_RECORD_UID: blank_uid})[:-_UID_DIGITS]
        self._session_span = encode.span_attributes({semconv.SESSION_ID: blank_uid})[:-_UID_DIGITS]
        self._session_log = encode.log_attributes({semconv.SESSION_ID: blank_uid})[:-_UID_DIGITS]
        self.targets = [
            encode.span_attributes({semconv.TARGET_ID: f"asset-{number:04d}"})
            for number in range(TARGETS)
        ]

    def resource(self, service: str) -> bytes:
        """Return the resource of a service."""
        if service not in self._resources:
            self._resources[service] = encode.resource(
                {
                    semconv.SERVICE_NAME: service,
                    semconv.SERVICE_VERSION: "2020.1",
                    semconv.DEPLOYMENT_ENVIRONMENT: "production",
                    semconv.SCHEMA_VERSION_ATTRIBUTE: semconv.SCHEMA_VERSION,
                }
            )
        return self._resources[service]

    def identity(self, user: int, session_id: bytes) -> tuple[bytes, bytes]:
        """Return who and which session, as attributes of spans and of log records."""
        who = {
            semconv.USER_HASH: self._people.hashes[user],
            semconv.TEAM: f"team-{int(self._people.teams[user]):02d}",
        }
        return (
            encode.span_attributes(who) + self._session_span + session_id,
            encode.log_attributes(who) + self._session_log + session_id,
        )

    def event(self, component: int, place: int, *, is_click: bool) -> bytes:
        """Return the attributes of a click or view in a component."""
        spec = self._catalogue.components[component]
        places = spec.widgets if is_click else spec.screens
        key = (component, is_click, place % len(places))
        if key not in self._events:
            name = places[key[2]]
            screen = spec.screens[key[2] % len(spec.screens)]
            kind = semconv.ACTION_KIND_CLICK if is_click else semconv.ACTION_KIND_VIEW
            self._events[key] = encode.log_attributes(
                {
                    semconv.STAGE: spec.stage,
                    semconv.COMPONENT: spec.name,
                    semconv.ACTION: name,
                    semconv.ACTION_KIND: kind,
                    semconv.SCREEN_NAME: screen,
                    **({semconv.WIDGET_ID: f"{spec.name}.{name}"} if is_click else {}),
                }
            )
        return self._events[key]

    def trace(self, action: int, error: int) -> TraceTemplate:
        """Return the spans of an action that ends in an error signal, or well."""
        key = (action, error)
        if key not in self._traces:
            self._traces[key] = self._build(action, error)
        return self._traces[key]

    def upkeep(self, component: int) -> tuple[SpanTemplate, SpanTemplate]:
        """Return a backend's own maintenance, well and badly ended; nobody's action."""
        spec = self._catalogue.components[component]
        where = {semconv.STAGE: spec.stage, semconv.COMPONENT: spec.name}
        kind = encode.SpanKind.INTERNAL
        return (
            _span(spec.service, "upkeep", kind, where, ""),
            _span(spec.service, "upkeep", kind, where, UPKEEP_ERROR),
        )

    def _build(self, action: int, error: int) -> TraceTemplate:
        catalogue = self._catalogue
        spec = catalogue.actions[action]
        home = catalogue.components[spec.component]
        origin = catalogue.errors[error] if error != NO_ERROR else None
        far = origin is not None and origin.component != spec.component
        type_ = origin.error_type if origin else ""
        own = UPSTREAM_ERROR if far else type_
        where = {semconv.STAGE: home.stage, semconv.COMPONENT: home.name}
        what = {**where, semconv.ACTION: spec.name, semconv.ACTION_KIND: semconv.ACTION_KIND_KEY}
        limit = {semconv.LIMIT_HIT: origin.limit} if origin and origin.limit else {}
        kinds = encode.SpanKind
        operation = _span(home.service, spec.name, kinds.SERVER, {**what, **limit}, own)
        status = (_BAD_GATEWAY if far else _INTERNAL_ERROR) if type_ else _OK
        backend = catalogue.components[spec.backend] if spec.backend >= 0 else None
        called = f"{backend.name}/handle" if backend else "call"
        return TraceTemplate(
            alone=_span(home.service, spec.name, kinds.INTERNAL, {**what, **limit}, own),
            gateway=_span(
                GATEWAY_SERVICE,
                f"POST /api/{home.name}",
                kinds.SERVER,
                {
                    semconv.STAGE: home.stage,
                    semconv.COMPONENT: GATEWAY,
                    semconv.HTTP_ROUTE: f"/api/{home.name}",
                    "http.response.status_code": status,
                },
                str(status) if type_ else "",
            ),
            operation=operation,
            inner=_span(home.service, f"{spec.name}/prepare", kinds.INTERNAL, where, ""),
            call=_span(home.service, called, kinds.CLIENT, where, type_ if far else ""),
            backend=_span(
                backend.service,
                called,
                kinds.SERVER,
                {semconv.STAGE: backend.stage, semconv.COMPONENT: backend.name, **limit},
                type_ if far else "",
            )
            if backend
            else None,
        )


def _span(
    service: str,
    name: str,
    kind: encode.SpanKind,
    attributes: Mapping[str, str | int],
    error_type: str,
) -> SpanTemplate:
    if not error_type:
        return SpanTemplate(service, name, kind, encode.span_attributes(attributes))
    return SpanTemplate(
        service,
        name,
        kind,
        encode.span_attributes({**attributes, semconv.ERROR_TYPE: error_type}),
        encode.StatusCode.ERROR,
        f"{name} failed: {error_type}",
    )
