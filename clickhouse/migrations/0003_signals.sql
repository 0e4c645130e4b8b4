-- The signal generator: one row per event of the platform, whatever carried it here.
-- Identity is signal_id. Of several copies the first arrival under the newest signal map is kept:
-- `precedence` grows with map_version and falls with ingest_time (42 bits of milliseconds reach
-- the year 2109). Nothing that a map change can alter is in the sorting key.

CREATE TABLE IF NOT EXISTS signals
(
    signal_id FixedString(16),
    source LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_span_id String CODEC(ZSTD(1)),
    event_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ingest_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    user_key FixedString(16) CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    service_name LowCardinality(String),
    span_kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    time_kind LowCardinality(String),
    outcome LowCardinality(String),
    error_type LowCardinality(String),
    duration_ns UInt64 CODEC(ZSTD(1)),
    wait_ns UInt64 CODEC(ZSTD(1)),
    digest String CODEC(ZSTD(1)),
    target_id String CODEC(ZSTD(1)),
    map_rule UInt32,
    map_version UInt32,
    weight Float64 CODEC(ZSTD(1)),
    facets Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    precedence UInt64 MATERIALIZED bitShiftLeft(toUInt64(map_version), 42)
        + (4398046511103 - toUInt64(greatest(toUnixTimestamp64Milli(ingest_time), 0))),
    INDEX signals_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX signals_ingest_time ingest_time TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toDate(ingest_time)
ORDER BY (toDate(event_time, 'UTC'), user_key, event_time, signal_id)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Event times outside [2000-01-01, ingest + 1 day] stay raw and make no signal. Every function
-- here is total: a view that throws would fail the insert after its raw rows were stored.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_to_signals TO signals AS
WITH
    if(SpanAttributes['user.hash'] != '', SpanAttributes['user.hash'], ResourceAttributes['user.hash']) AS user_hash,
    if(SpanAttributes['mlp.stage'] != '', SpanAttributes['mlp.stage'], ResourceAttributes['mlp.stage']) AS said_stage,
    if(SpanAttributes['mlp.component'] != '', SpanAttributes['mlp.component'], ResourceAttributes['mlp.component']) AS said_component,
    if(SpanAttributes['http.route'] != '', SpanAttributes['http.route'], SpanAttributes['url.path']) AS route,
    if(said_stage != '', 0, dictGet('signal_map_match', 'rule_id',
        toLowCardinality(concat(ServiceName, '\n', SpanName, '\n', route)))) AS rule,
    dictGet('signal_map_rule', ('stage', 'component', 'action', 'action_kind', 'map_version'), toUInt64(rule)) AS mapped,
    extract(TraceState, '(?:^|,)ot=[^,]*th:([0-9a-f]{1,14})') AS threshold
SELECT
    sipHash128('span', TraceId, SpanId) AS signal_id,
    'span' AS source,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    Timestamp AS event_time,
    IngestTime AS ingest_time,
    toFixedString(if(match(user_hash, '^[0-9a-fA-F]{32}$'), unhex(substring(user_hash, 1, 32)), ''), 16) AS user_key,
    SpanAttributes['session.id'] AS session_id,
    ServiceName AS service_name,
    SpanKind AS span_kind,
    if(said_stage != '', said_stage, mapped.1) AS stage,
    multiIf(said_component != '', said_component, mapped.2 != '', mapped.2, ServiceName) AS component,
    multiIf(SpanAttributes['mlp.action'] != '', SpanAttributes['mlp.action'], mapped.3 != '', mapped.3, SpanName) AS action,
    multiIf(
        SpanAttributes['mlp.action.kind'] IN ('key', 'click', 'view'), SpanAttributes['mlp.action.kind'],
        mapped.4 IN ('key', 'click', 'view'), mapped.4,
        '') AS action_kind,
    if(SpanAttributes['mlp.time.kind'] IN ('on_component', 'load', 'session', 'wait'), SpanAttributes['mlp.time.kind'], '') AS time_kind,
    multiIf(
        StatusCode = 'Error', 'error',
        SpanAttributes['mlp.outcome'] IN ('ok', 'error', 'cancelled', 'unknown'), SpanAttributes['mlp.outcome'],
        'ok') AS outcome,
    multiIf(
        outcome != 'error', '',
        SpanAttributes['error.type'] != '', SpanAttributes['error.type'],
        SpanAttributes['exception.type'] != '', SpanAttributes['exception.type'],
        arrayFirst((attributes, name) -> name = 'exception', Events.Attributes, Events.Name)['exception.type'] != '',
        arrayFirst((attributes, name) -> name = 'exception', Events.Attributes, Events.Name)['exception.type'],
        '_OTHER') AS error_type,
    -- A negative duration reaches us wrapped around; nothing real lasts 146 years.
    if(Duration < 4611686018427387904, Duration, 0) AS duration_ns,
    toUInt64(least(greatest(ifNull(toFloat64OrNull(SpanAttributes['mlp.wait.seconds']), 0), 0), 3155760000) * 1e9) AS wait_ns,
    SpanAttributes['mlp.action.digest'] AS digest,
    SpanAttributes['mlp.target.id'] AS target_id,
    rule AS map_rule,
    mapped.5 AS map_version,
    if(threshold = '', 1, 72057594037927936
        / (72057594037927936 - reinterpretAsUInt64(reverse(unhex(rightPad(threshold, 14, '0')))))) AS weight,
    mapFilter((key, value) -> key IN (
        'service.version', 'deployment.environment.name', 'vcs.ref.head.revision', 'mlp.team',
        'mlp.dataset.id', 'mlp.dataset.version', 'mlp.model.id', 'mlp.resource.class',
        'mlp.resource.limit.hit', 'user_agent.original'
    ), mapUpdate(ResourceAttributes, SpanAttributes)) AS facets
FROM otel_traces
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY;

-- A log record is an event if it has an event name, names an action, or carries a failure.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_logs_to_signals TO signals AS
WITH
    if(LogAttributes['user.hash'] != '', LogAttributes['user.hash'], ResourceAttributes['user.hash']) AS user_hash,
    if(LogAttributes['mlp.stage'] != '', LogAttributes['mlp.stage'], ResourceAttributes['mlp.stage']) AS said_stage,
    if(LogAttributes['mlp.component'] != '', LogAttributes['mlp.component'], ResourceAttributes['mlp.component']) AS said_component,
    if(LogAttributes['http.route'] != '', LogAttributes['http.route'], LogAttributes['url.path']) AS route,
    if(said_stage != '', 0, dictGet('signal_map_match', 'rule_id',
        toLowCardinality(concat(ServiceName, '\n', EventName, '\n', route)))) AS rule,
    dictGet('signal_map_rule', ('stage', 'component', 'action', 'action_kind', 'map_version'), toUInt64(rule)) AS mapped,
    if(LogAttributes['error.type'] != '', LogAttributes['error.type'], LogAttributes['exception.type']) AS said_error
SELECT
    RecordId AS signal_id,
    'log' AS source,
    TraceId AS trace_id,
    '' AS span_id,
    SpanId AS parent_span_id,
    Timestamp AS event_time,
    IngestTime AS ingest_time,
    toFixedString(if(match(user_hash, '^[0-9a-fA-F]{32}$'), unhex(substring(user_hash, 1, 32)), ''), 16) AS user_key,
    LogAttributes['session.id'] AS session_id,
    ServiceName AS service_name,
    '' AS span_kind,
    if(said_stage != '', said_stage, mapped.1) AS stage,
    multiIf(said_component != '', said_component, mapped.2 != '', mapped.2, ServiceName) AS component,
    multiIf(LogAttributes['mlp.action'] != '', LogAttributes['mlp.action'], mapped.3 != '', mapped.3, EventName) AS action,
    multiIf(
        LogAttributes['mlp.action.kind'] IN ('key', 'click', 'view'), LogAttributes['mlp.action.kind'],
        mapped.4 IN ('key', 'click', 'view'), mapped.4,
        EventName = 'app.widget.click', 'click',
        EventName = 'mlp.view', 'view',
        EventName = 'mlp.action', 'key',
        '') AS action_kind,
    if(LogAttributes['mlp.time.kind'] IN ('on_component', 'load', 'session', 'wait'), LogAttributes['mlp.time.kind'], '') AS time_kind,
    multiIf(
        LogAttributes['mlp.outcome'] IN ('ok', 'error', 'cancelled', 'unknown'), LogAttributes['mlp.outcome'],
        said_error != '', 'error',
        'unknown') AS outcome,
    multiIf(outcome != 'error', '', said_error != '', said_error, '_OTHER') AS error_type,
    toUInt64(0) AS duration_ns,
    toUInt64(0) AS wait_ns,
    LogAttributes['mlp.action.digest'] AS digest,
    LogAttributes['mlp.target.id'] AS target_id,
    rule AS map_rule,
    mapped.5 AS map_version,
    toFloat64(1) AS weight,
    mapFilter((key, value) -> key IN (
        'service.version', 'deployment.environment.name', 'vcs.ref.head.revision', 'mlp.team',
        'mlp.dataset.id', 'mlp.dataset.version', 'mlp.model.id', 'mlp.resource.class',
        'mlp.resource.limit.hit', 'user_agent.original'
    ), mapUpdate(ResourceAttributes, LogAttributes)) AS facets
FROM otel_logs
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
    AND (EventName != '' OR LogAttributes['mlp.action'] != '' OR said_error != '');
