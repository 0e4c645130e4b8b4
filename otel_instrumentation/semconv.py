"""Every attribute, event and metric name the Analyzer's telemetry uses: the contract.

SQL, Collector configuration and Python hold to these names; a contract test compares them.
Names without the ``mlp.`` prefix are OpenTelemetry's own (semantic conventions 1.44); ours
exist only where OpenTelemetry has none.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = "1"
"""Version of this contract, stamped as ``mlp.schema.version``: exporters drop schema URLs."""

# --- who -----------------------------------------------------------------------------------
USER_HASH: Final = "user.hash"
"""The pseudonym: 32 lower-case hex digits, see :func:`otel_instrumentation.privacy.pseudonym`."""
USER_ID: Final = "user.id"
"""The raw identity. Receivers derive ``user.hash`` from it and never store it."""
ENDUSER_ID: Final = "enduser.id"
USER_NAME: Final = "user.name"
USER_EMAIL: Final = "user.email"
USER_FULL_NAME: Final = "user.full_name"
USER_ROLES: Final = "user.roles"
TEAM: Final = "mlp.team"
SESSION_ID: Final = "session.id"
SESSION_PREVIOUS_ID: Final = "session.previous_id"

RAW_IDENTITY_ATTRIBUTES: Final = (USER_ID, ENDUSER_ID, USER_NAME, USER_EMAIL, USER_FULL_NAME)
"""Deleted by every receiver before a record is stored; the first two may name the user."""

IDENTITY_HEADERS: Final = (
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-auth-request-user",
    "x-remote-user",
)
"""Headers by which the usual authenticating proxies tell an application its user, best first.
Instrumentations that capture them write ``http.request.header.<name>``."""

# --- where ---------------------------------------------------------------------------------
STAGE: Final = "mlp.stage"
COMPONENT: Final = "mlp.component"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"

STAGE_DATA_COLLECTION: Final = "data_collection"
STAGE_FEATURE_ENGINEERING: Final = "feature_engineering"
STAGE_MODEL_TRAINING: Final = "model_training"
STAGE_MODEL_DEPLOYMENT: Final = "model_deployment"
STAGES: Final = (
    STAGE_DATA_COLLECTION,
    STAGE_FEATURE_ENGINEERING,
    STAGE_MODEL_TRAINING,
    STAGE_MODEL_DEPLOYMENT,
)
"""The four stages of a model's life (Meena, Suman, Agneeswaran, OpML 2020), in their order."""

# --- what ----------------------------------------------------------------------------------
ACTION: Final = "mlp.action"
ACTION_KIND: Final = "mlp.action.kind"
ACTION_DIGEST: Final = "mlp.action.digest"
"""Keyed hash of the normalised arguments: equal digests mean "the same action again"."""
TARGET_ID: Final = "mlp.target.id"
OUTCOME: Final = "mlp.outcome"

ACTION_KIND_KEY: Final = "key"
ACTION_KIND_CLICK: Final = "click"
ACTION_KIND_VIEW: Final = "view"
ACTION_KINDS: Final = (ACTION_KIND_KEY, ACTION_KIND_CLICK, ACTION_KIND_VIEW)

OUTCOME_OK: Final = "ok"
OUTCOME_ERROR: Final = "error"
OUTCOME_CANCELLED: Final = "cancelled"
OUTCOME_UNKNOWN: Final = "unknown"
OUTCOMES: Final = (OUTCOME_OK, OUTCOME_ERROR, OUTCOME_CANCELLED, OUTCOME_UNKNOWN)

# --- failure -------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
ERROR_TYPE_OTHER: Final = "_OTHER"
"""OpenTelemetry's fallback value where a failure has no type of its own."""
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_EVENT: Final = "exception"

# --- time ----------------------------------------------------------------------------------
TIME_KIND: Final = "mlp.time.kind"
TIME_KIND_ON_COMPONENT: Final = "on_component"
TIME_KIND_LOAD: Final = "load"
TIME_KIND_SESSION: Final = "session"
TIME_KIND_WAIT: Final = "wait"
TIME_KINDS: Final = (
    TIME_KIND_ON_COMPONENT,
    TIME_KIND_LOAD,
    TIME_KIND_SESSION,
    TIME_KIND_WAIT,
)
WAIT_SECONDS: Final = "mlp.wait.seconds"
"""Seconds in a queue before the operation began (decimal number)."""

# --- context -------------------------------------------------------------------------------
CODE_REVISION: Final = "vcs.ref.head.revision"
DATASET_ID: Final = "mlp.dataset.id"
DATASET_VERSION: Final = "mlp.dataset.version"
DATASET_ROLE: Final = "mlp.dataset.role"
MODEL_ID: Final = "mlp.model.id"
MODEL_VERSION: Final = "mlp.model.version"
RUN_ID: Final = "mlp.run.id"
PARAMS_DIGEST: Final = "mlp.params.digest"
ARTIFACT_READ: Final = "mlp.artifact.read"
ARTIFACT_WRITTEN: Final = "mlp.artifact.written"

# --- resources -----------------------------------------------------------------------------
RESOURCE_CLASS: Final = "mlp.resource.class"
GPU_REQUESTED: Final = "mlp.resource.gpu.requested"
CPU_REQUESTED: Final = "mlp.resource.cpu.requested"
MEMORY_REQUESTED: Final = "mlp.resource.memory.requested"
NODES_REQUESTED: Final = "mlp.resource.nodes.requested"
GPU_USED: Final = "mlp.resource.gpu.used"
CPU_USED: Final = "mlp.resource.cpu.used"
MEMORY_USED: Final = "mlp.resource.memory.used"
LIMIT_HIT: Final = "mlp.resource.limit.hit"
"""Which limit ended the operation: ``time``, ``memory``, ``quota``."""

# --- plumbing ------------------------------------------------------------------------------
SCHEMA_VERSION_ATTRIBUTE: Final = "mlp.schema.version"
LOG_RECORD_UID: Final = "log.record.uid"
"""Identity of a log record; without one, a hash of all its columns stands in."""
HTTP_ROUTE: Final = "http.route"
URL_PATH: Final = "url.path"

# --- events (names of log records) ---------------------------------------------------------
EVENT_CLICK: Final = "app.widget.click"
EVENT_VIEW: Final = "mlp.view"
EVENT_ACTION: Final = "mlp.action"
EVENT_SESSION_START: Final = "session.start"
EVENT_SESSION_END: Final = "session.end"
WIDGET_ID: Final = "app.widget.id"
WIDGET_NAME: Final = "app.widget.name"
SCREEN_NAME: Final = "app.screen.name"

# --- what an SDK says about itself (metrics) -------------------------------------------------
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SDK_COMPONENT_NAME: Final = "otel.component.name"
SDK_PROCESSED: Final = {
    "traces": "otel.sdk.processor.span.processed",
    "logs": "otel.sdk.processor.log.processed",
}
"""Counters of what left the queue of an SDK; with ``error.type``, of what was dropped there."""
SDK_EXPORTED: Final = {
    "traces": "otel.sdk.exporter.span.exported",
    "logs": "otel.sdk.exporter.log.exported",
}
"""Counters of what an SDK handed over; with ``error.type``, of what was lost."""

LOST_QUEUE_FULL: Final = "queue_full"
"""The SDK's own: the queue was full and the oldest record went."""
LOST_EXPORT_FAILED: Final = "export_failed"
LOST_FORKED: Final = "fork"
"""The process was forked while its parent was in the middle of a call over gRPC."""
LOST_AT_EXIT: Final = "exit"
"""The process ended before its queue was sent."""
LOST_SPOOL_FULL: Final = "spool_full"
LOST_SPOOL_EXPIRED: Final = "spool_expired"
LOST_SPOOL_FAILED: Final = "spool_failed"
"""The spool's disk failed, and no receiver answered either."""
LOST_REFUSED: Final = "refused"
"""The receiver said that the payload itself is wrong: it would be refused again."""

# --- what a Collector says about itself (metrics) --------------------------------------------
COLLECTOR_METRICS: Final = (
    "otelcol_receiver_accepted_spans",
    "otelcol_receiver_accepted_log_records",
    "otelcol_receiver_refused_spans",
    "otelcol_receiver_refused_log_records",
    "otelcol_receiver_failed_spans",
    "otelcol_receiver_failed_log_records",
    "otelcol_processor_filter_spans.filtered",
    "otelcol_processor_filter_logs.filtered",
    "otelcol_exporter_sent_spans",
    "otelcol_exporter_sent_log_records",
    "otelcol_exporter_send_failed_spans",
    "otelcol_exporter_send_failed_log_records",
    "otelcol_exporter_enqueue_failed_spans",
    "otelcol_exporter_enqueue_failed_log_records",
)
"""The Collector's own counters, as version 0.161 names them."""

ACCOUNTING_METRICS: Final = (
    *SDK_PROCESSED.values(),
    *SDK_EXPORTED.values(),
    *COLLECTOR_METRICS,
)
"""The metrics that are kept: what happened to records before they arrived. All others are not."""

ACCOUNTING_ATTRIBUTES: Final = (
    ERROR_TYPE,
    "exporter",
    "filter",
    SDK_COMPONENT_NAME,
    "receiver",
    "transport",
)
"""The attributes that are kept of their points: who counted, and why."""
