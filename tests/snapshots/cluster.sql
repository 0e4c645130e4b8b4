-- 0000
CREATE TABLE IF NOT EXISTS schema_migrations ON CLUSTER mlp
(
    version UInt32,
    name String,
    checksum FixedString(64),
    applied_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    statements UInt32
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/everywhere/default/schema_migrations', '{shard}-{replica}', applied_time)
ORDER BY version
SETTINGS replicated_deduplication_window = 100;

-- 0001
-- Raw telemetry with the column names and types of the Collector's clickhouse exporter, which
-- therefore writes here with `create_schema: false`. IngestTime is ours: partitions and expiry go
-- by it and never by event time, because one insert may span years of event time and a limit
-- on partitions would then refuse it for good.
-- Rows are kept 180 days: the longest window (a calendar month that touches 28 days, 59 days)
-- plus 90 days, rounded up.
-- Replacing by identity: a batch that is re-cut on retry escapes block deduplication; queries with
-- FINAL (every reader handle sets it) then still see each span once.

CREATE TABLE IF NOT EXISTS otel_traces_local ON CLUSTER mlp
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9, 'UTC'),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    IngestTime DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    INDEX otel_traces_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/otel_traces_local', '{replica}')
PARTITION BY toDate(IngestTime)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp, 'UTC'), TraceId, SpanId)
TTL toDate(IngestTime) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- 0001
CREATE TABLE IF NOT EXISTS otel_traces ON CLUSTER mlp AS otel_traces_local
ENGINE = Distributed('mlp', 'default', 'otel_traces_local', cityHash64(multiIf(match(if(SpanAttributes['user.hash'] != '', SpanAttributes['user.hash'], ResourceAttributes['user.hash']), '^[0-9a-fA-F]{32}$'), lower(if(SpanAttributes['user.hash'] != '', SpanAttributes['user.hash'], ResourceAttributes['user.hash'])), TraceId != '', TraceId, toString(toUnixTimestamp64Nano(Timestamp)))));

-- 0001
ALTER TABLE otel_traces ON CLUSTER mlp MODIFY COLUMN IngestTime DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC');

-- 0001
CREATE TABLE IF NOT EXISTS otel_logs_local ON CLUSTER mlp
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1)),
    IngestTime DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- Identity of a record: its own id, else a hash of everything the sender said.
    RecordId FixedString(16) MATERIALIZED if(
        LogAttributes['log.record.uid'] != '',
        sipHash128('uid', LogAttributes['log.record.uid']),
        sipHash128(
            Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body,
            toString(ResourceAttributes), ScopeName, ScopeVersion, toString(ScopeAttributes),
            toString(LogAttributes), EventName
        )
    ) CODEC(ZSTD(1)),
    INDEX otel_logs_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/otel_logs_local', '{replica}')
PARTITION BY toDate(IngestTime)
ORDER BY (ServiceName, EventName, toDateTime(Timestamp, 'UTC'), RecordId)
TTL toDate(IngestTime) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- 0001
CREATE TABLE IF NOT EXISTS otel_logs ON CLUSTER mlp AS otel_logs_local
ENGINE = Distributed('mlp', 'default', 'otel_logs_local', cityHash64(multiIf(match(if(LogAttributes['user.hash'] != '', LogAttributes['user.hash'], ResourceAttributes['user.hash']), '^[0-9a-fA-F]{32}$'), lower(if(LogAttributes['user.hash'] != '', LogAttributes['user.hash'], ResourceAttributes['user.hash'])), TraceId != '', TraceId, toString(toUnixTimestamp64Nano(Timestamp)))));

-- 0001
ALTER TABLE otel_logs ON CLUSTER mlp MODIFY COLUMN IngestTime DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC');

-- 0001
-- What could not be stored, with the reason, instead of blocking what can.
CREATE TABLE IF NOT EXISTS rejected_local ON CLUSTER mlp
(
    ingest_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    source LowCardinality(String),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(3)),
    record String CODEC(ZSTD(3)),
    -- The same record refused again, in another batch, is one rejection.
    record_id FixedString(16) MATERIALIZED sipHash128(detail, record)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/rejected_local', '{replica}')
PARTITION BY toDate(ingest_time)
ORDER BY (source, reason, record_id)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- 0001
CREATE TABLE IF NOT EXISTS rejected ON CLUSTER mlp AS rejected_local
ENGINE = Distributed('mlp', 'default', 'rejected_local', cityHash64(source));

-- 0001
ALTER TABLE rejected ON CLUSTER mlp MODIFY COLUMN ingest_time DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC');

-- 0002
-- Services that know nothing of us get stage, component and action from these rows. The first row
-- by priority whose pattern matches `service \n span or event name \n route` wins, whole.

CREATE TABLE IF NOT EXISTS signal_map ON CLUSTER mlp
(
    rule_id UInt32,
    priority UInt32,
    pattern String,
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    map_version UInt32,
    source String,
    example String,
    counter_example String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/everywhere/default/signal_map', '{shard}-{replica}', map_version)
ORDER BY rule_id
SETTINGS replicated_deduplication_window = 1000;

-- 0002
-- The never-matching row keeps the dictionary loadable while the map is empty: a dictionary that
-- cannot load would make the views throw after the raw rows are stored.
CREATE VIEW IF NOT EXISTS signal_map_tree ON CLUSTER mlp AS
SELECT
    toUInt64(row_number() OVER (ORDER BY priority, rule_id)) AS id,
    toUInt64(0) AS parent_id,
    pattern AS regexp,
    ['rule_id'] AS keys,
    [toString(rule_id)] AS values
FROM
(
    SELECT priority, rule_id, pattern FROM signal_map FINAL WHERE pattern != ''
    UNION ALL
    SELECT toUInt32(4294967295), toUInt32(0), '^\\x{0}never\\x{0}$'
);

-- 0002
CREATE VIEW IF NOT EXISTS signal_map_rules ON CLUSTER mlp AS
SELECT toUInt64(rule_id) AS rule_id, stage, component, action, action_kind, map_version
FROM signal_map FINAL;

-- 0002
-- One attribute only: a regular-expression tree with several would blend rows that match together.
CREATE DICTIONARY IF NOT EXISTS signal_map_match ON CLUSTER mlp (regexp String, rule_id UInt32 DEFAULT 0)
PRIMARY KEY (regexp)
SOURCE(CLICKHOUSE(TABLE 'signal_map_tree'))
LAYOUT(regexp_tree)
LIFETIME(0);

-- 0002
CREATE DICTIONARY IF NOT EXISTS signal_map_rule ON CLUSTER mlp
(
    rule_id UInt64,
    stage String DEFAULT '',
    component String DEFAULT '',
    action String DEFAULT '',
    action_kind String DEFAULT '',
    map_version UInt32 DEFAULT 0
)
PRIMARY KEY (rule_id)
SOURCE(CLICKHOUSE(TABLE 'signal_map_rules'))
LAYOUT(flat)
LIFETIME(0);

-- 0003
-- The signal generator: one row per event of the platform, whatever carried it here.
-- Identity is signal_id. Of several copies the first arrival under the newest signal map is kept:
-- `precedence` grows with map_version and falls with ingest_time (42 bits of milliseconds reach
-- the year 2109). Nothing that a map change can alter is in the sorting key.

CREATE TABLE IF NOT EXISTS signals_local ON CLUSTER mlp
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/signals_local', '{replica}', precedence)
PARTITION BY toDate(ingest_time)
ORDER BY (toDate(event_time, 'UTC'), user_key, event_time, signal_id)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- 0003
CREATE TABLE IF NOT EXISTS signals ON CLUSTER mlp AS signals_local
ENGINE = Distributed('mlp', 'default', 'signals_local', cityHash64(multiIf(user_key != toFixedString('', 16), lower(hex(user_key)), trace_id != '', trace_id, toString(toUnixTimestamp64Nano(event_time)))));

-- 0003
-- Event times outside [2000-01-01, ingest + 1 day] stay raw and make no signal. Every function
-- here is total: a view that throws would fail the insert after its raw rows were stored.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_to_signals ON CLUSTER mlp TO signals_local AS
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
FROM otel_traces_local
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY;

-- 0003
-- A log record is an event if it has an event name, names an action, or carries a failure.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_logs_to_signals ON CLUSTER mlp TO signals_local AS
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
FROM otel_logs_local
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
    AND (EventName != '' OR LogAttributes['mlp.action'] != '' OR said_error != '');

-- 0004
-- What an analysis reads. Each settled table is recomputed by whole event days from `signals FINAL`
-- and swapped in with REPLACE PARTITION, so duplicates, late spans, map changes, erasure and users
-- inherited from their trace are one mechanism. No view feeds these tables.
-- `settling_*` are the staging twins; the one settling process owns them.

-- Signals of the days being settled, resolved within their traces.
CREATE TABLE IF NOT EXISTS settling_signals_local ON CLUSTER mlp
(
    event_day Date,
    event_time DateTime64(9, 'UTC'),
    ingest_time DateTime64(3, 'UTC'),
    signal_id FixedString(16),
    parent_id FixedString(16),
    source LowCardinality(String),
    trace_id String,
    user_key FixedString(16),
    session_id String,
    service_name LowCardinality(String),
    span_kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    outcome LowCardinality(String),
    error_type LowCardinality(String),
    duration_ns UInt64,
    wait_ns UInt64,
    digest String,
    weight Float64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_signals_local', '{replica}')
ORDER BY signal_id;

-- 0004
CREATE TABLE IF NOT EXISTS settling_signals ON CLUSTER mlp AS settling_signals_local
ENGINE = Distributed('mlp', 'default', 'settling_signals_local', cityHash64(multiIf(user_key != toFixedString('', 16), lower(hex(user_key)), trace_id != '', trace_id, toString(toUnixTimestamp64Nano(event_time)))));

-- 0004
-- Erring signals of the days being settled that only pass on, or repeat, a failure counted elsewhere.
CREATE TABLE IF NOT EXISTS settling_propagated_local ON CLUSTER mlp
(
    signal_id FixedString(16)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_propagated_local', '{replica}')
ORDER BY signal_id;

-- 0004
CREATE TABLE IF NOT EXISTS settling_propagated ON CLUSTER mlp AS settling_propagated_local
ENGINE = Distributed('mlp', 'default', 'settling_propagated_local', cityHash64(signal_id));

-- 0004
-- Who did what how often. Integers only, so that the sums do not depend on their order:
-- durations are also summed as millionths of natural logarithms of seconds.
CREATE TABLE IF NOT EXISTS attempts_daily_local ON CLUSTER mlp
(
    event_day Date,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    events UInt64,
    attempts UInt64,
    failed_attempts UInt64,
    completed UInt64,
    completed_log_micros Int64,
    duration_ns UInt64,
    failed_ns UInt64,
    wait_ns UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/attempts_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (user_key, stage, component, action, action_kind);

-- 0004
CREATE TABLE IF NOT EXISTS attempts_daily ON CLUSTER mlp AS attempts_daily_local
ENGINE = Distributed('mlp', 'default', 'attempts_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
-- Failures where they started, one row each.
CREATE TABLE IF NOT EXISTS failures_local ON CLUSTER mlp
(
    event_day Date,
    event_time DateTime64(9, 'UTC'),
    ingest_time DateTime64(3, 'UTC'),
    signal_id FixedString(16),
    trace_id String,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    error_type LowCardinality(String),
    duration_ns UInt64,
    weight Float64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/failures_local', '{replica}')
PARTITION BY event_day
ORDER BY (stage, component, error_type, user_key, event_time, signal_id);

-- 0004
CREATE TABLE IF NOT EXISTS failures ON CLUSTER mlp AS failures_local
ENGINE = Distributed('mlp', 'default', 'failures_local', cityHash64(multiIf(user_key != toFixedString('', 16), lower(hex(user_key)), trace_id != '', trace_id, toString(toUnixTimestamp64Nano(event_time)))));

-- 0004
-- Key actions with a digest: "the same action again".
CREATE TABLE IF NOT EXISTS repeats_daily_local ON CLUSTER mlp
(
    event_day Date,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    digest String,
    times UInt64,
    duration_ns UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/repeats_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (stage, component, action, user_key, digest);

-- 0004
CREATE TABLE IF NOT EXISTS repeats_daily ON CLUSTER mlp AS repeats_daily_local
ENGINE = Distributed('mlp', 'default', 'repeats_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
CREATE TABLE IF NOT EXISTS sessions_daily_local ON CLUSTER mlp
(
    event_day Date,
    user_key FixedString(16),
    session_id String,
    first_time DateTime64(9, 'UTC'),
    last_time DateTime64(9, 'UTC'),
    events UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/sessions_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (user_key, session_id);

-- 0004
CREATE TABLE IF NOT EXISTS sessions_daily ON CLUSTER mlp AS sessions_daily_local
ENGINE = Distributed('mlp', 'default', 'sessions_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
CREATE TABLE IF NOT EXISTS settling_attempts_daily_local ON CLUSTER mlp AS attempts_daily_local
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_attempts_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (user_key, stage, component, action, action_kind);

-- 0004
CREATE TABLE IF NOT EXISTS settling_attempts_daily ON CLUSTER mlp AS settling_attempts_daily_local
ENGINE = Distributed('mlp', 'default', 'settling_attempts_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
CREATE TABLE IF NOT EXISTS settling_failures_local ON CLUSTER mlp AS failures_local
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_failures_local', '{replica}')
PARTITION BY event_day
ORDER BY (stage, component, error_type, user_key, event_time, signal_id);

-- 0004
CREATE TABLE IF NOT EXISTS settling_failures ON CLUSTER mlp AS settling_failures_local
ENGINE = Distributed('mlp', 'default', 'settling_failures_local', cityHash64(multiIf(user_key != toFixedString('', 16), lower(hex(user_key)), trace_id != '', trace_id, toString(toUnixTimestamp64Nano(event_time)))));

-- 0004
CREATE TABLE IF NOT EXISTS settling_repeats_daily_local ON CLUSTER mlp AS repeats_daily_local
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_repeats_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (stage, component, action, user_key, digest);

-- 0004
CREATE TABLE IF NOT EXISTS settling_repeats_daily ON CLUSTER mlp AS settling_repeats_daily_local
ENGINE = Distributed('mlp', 'default', 'settling_repeats_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
CREATE TABLE IF NOT EXISTS settling_sessions_daily_local ON CLUSTER mlp AS sessions_daily_local
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_sessions_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (user_key, session_id);

-- 0004
CREATE TABLE IF NOT EXISTS settling_sessions_daily ON CLUSTER mlp AS settling_sessions_daily_local
ENGINE = Distributed('mlp', 'default', 'settling_sessions_daily_local', cityHash64(lower(hex(user_key))));

-- 0004
-- One row per settled day: what came of its signals.
CREATE TABLE IF NOT EXISTS settled_days_local ON CLUSTER mlp
(
    event_day Date,
    settled_time DateTime64(3, 'UTC'),
    known_at DateTime64(3, 'UTC'),
    signals UInt64,
    attempts UInt64,
    failures UInt64,
    propagated UInt64,
    without_user UInt64,
    unmapped UInt64,
    unknown_stage UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/settled_days_local', '{replica}', settled_time)
ORDER BY event_day
SETTINGS replicated_deduplication_window = 1000;

-- 0004
CREATE TABLE IF NOT EXISTS settled_days ON CLUSTER mlp AS settled_days_local
ENGINE = Distributed('mlp', 'default', 'settled_days_local', cityHash64(event_day));

-- 0004
-- One row per settling run. The next one starts at its watermark; `tail_*` fingerprint the signals
-- that had arrived shortly before it, so that one committed late is noticed (see store/settling.py).
CREATE TABLE IF NOT EXISTS settlements_local ON CLUSTER mlp
(
    settled_time DateTime64(3, 'UTC'),
    watermark DateTime64(3, 'UTC'),
    tail_signals UInt64,
    tail_hash UInt64,
    days UInt64,
    signals UInt64,
    duration_ms UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settlements_local', '{replica}')
ORDER BY settled_time
SETTINGS replicated_deduplication_window = 1000;

-- 0004
CREATE TABLE IF NOT EXISTS settlements ON CLUSTER mlp AS settlements_local
ENGINE = Distributed('mlp', 'default', 'settlements_local', cityHash64(settled_time));

-- 0005
-- What analyses say. Results are written once per analysis and never changed.

CREATE TABLE IF NOT EXISTS analyses_local ON CLUSTER mlp
(
    analysis_id String,
    status LowCardinality(String),
    created_time DateTime64(3, 'UTC'),
    updated_time DateTime64(6, 'UTC'),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    known_at DateTime64(3, 'UTC'),
    rule_set LowCardinality(String),
    rule_set_version String,
    preset LowCardinality(String),
    rated UInt32,
    unrated UInt32,
    segment_sizes Map(LowCardinality(String), UInt32),
    challenges UInt32,
    error String,
    detail String CODEC(ZSTD(3))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/analyses_local', '{replica}', updated_time)
ORDER BY analysis_id
SETTINGS replicated_deduplication_window = 1000;

-- 0005
CREATE TABLE IF NOT EXISTS analyses ON CLUSTER mlp AS analyses_local
ENGINE = Distributed('mlp', 'default', 'analyses_local', cityHash64(analysis_id));

-- 0005
CREATE TABLE IF NOT EXISTS user_segments_local ON CLUSTER mlp
(
    analysis_id String,
    user_key FixedString(16),
    segment LowCardinality(String),
    membership Float64,
    borderline Bool,
    features Map(LowCardinality(String), Float64)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/user_segments_local', '{replica}')
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key)
SETTINGS replicated_deduplication_window = 1000;

-- 0005
CREATE TABLE IF NOT EXISTS user_segments ON CLUSTER mlp AS user_segments_local
ENGINE = Distributed('mlp', 'default', 'user_segments_local', cityHash64(lower(hex(user_key))));

-- 0005
CREATE TABLE IF NOT EXISTS segments_local ON CLUSTER mlp
(
    analysis_id String,
    segment LowCardinality(String),
    rank UInt8,
    users UInt32,
    proficiency Float64,
    centroid Map(LowCardinality(String), Float64)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/segments_local', '{replica}')
ORDER BY (analysis_id, rank)
SETTINGS replicated_deduplication_window = 1000;

-- 0005
CREATE TABLE IF NOT EXISTS segments ON CLUSTER mlp AS segments_local
ENGINE = Distributed('mlp', 'default', 'segments_local', cityHash64(analysis_id));

-- 0005
CREATE TABLE IF NOT EXISTS challenges_local ON CLUSTER mlp
(
    analysis_id String,
    challenge_id String,
    rank UInt32,
    kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    signal String,
    signal_kind LowCardinality(String),
    rule LowCardinality(String),
    grade LowCardinality(String),
    probability Float64,
    users_affected UInt32,
    time_lost_seconds Float64,
    evidence String CODEC(ZSTD(3)),
    evidence_query String CODEC(ZSTD(3)),
    example_trace_ids Array(String)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/challenges_local', '{replica}')
ORDER BY (analysis_id, challenge_id)
SETTINGS replicated_deduplication_window = 1000;

-- 0005
CREATE TABLE IF NOT EXISTS challenges ON CLUSTER mlp AS challenges_local
ENGINE = Distributed('mlp', 'default', 'challenges_local', cityHash64(analysis_id));

-- 0005
CREATE TABLE IF NOT EXISTS user_bottlenecks_local ON CLUSTER mlp
(
    analysis_id String,
    user_key FixedString(16),
    stage LowCardinality(String),
    status LowCardinality(String),
    rank UInt32,
    challenge_id String,
    time_lost_seconds Float64,
    share_of_time Float64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/user_bottlenecks_local', '{replica}')
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key, stage, rank)
SETTINGS replicated_deduplication_window = 1000;

-- 0005
CREATE TABLE IF NOT EXISTS user_bottlenecks ON CLUSTER mlp AS user_bottlenecks_local
ENGINE = Distributed('mlp', 'default', 'user_bottlenecks_local', cityHash64(lower(hex(user_key))));

-- 0006
-- The paper's three classes of signals, for people who ask with SQL.

CREATE VIEW IF NOT EXISTS mlp_action ON CLUSTER mlp AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    action_kind, outcome, digest, target_id, trace_id, span_id
FROM signals FINAL
WHERE action_kind != '';

-- 0006
CREATE VIEW IF NOT EXISTS mlp_error ON CLUSTER mlp AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    error_type, duration_ns, trace_id, span_id
FROM signals FINAL
WHERE outcome = 'error';

-- 0006
CREATE VIEW IF NOT EXISTS mlp_time ON CLUSTER mlp AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    time_kind, duration_ns, wait_ns, trace_id, span_id
FROM signals FINAL
WHERE time_kind != '' OR duration_ns > 0;

-- 0007
-- The map changes while the service runs, and signals can be derived again from what is raw.
-- Rows say whose they are, so that a new version of the program keeps an operator's own. A removed
-- row keeps its number and loses its pattern.
ALTER TABLE signal_map ADD COLUMN IF NOT EXISTS origin LowCardinality(String) DEFAULT 'shipped';

-- 0007
-- Every row, also rule 0, which is none at all, carries the version of the whole map: a signal then
-- says by which map it was judged, whether or not a row applied. The flat dictionary cannot load a
-- higher number than these, and the views would throw without it.
CREATE OR REPLACE VIEW signal_map_rules ON CLUSTER mlp AS
SELECT
    toUInt64(rule_id) AS rule_id, stage, component, action, action_kind,
    (SELECT max(map_version) FROM signal_map) AS map_version
FROM signal_map FINAL
WHERE rule_id < 500000
UNION ALL
SELECT toUInt64(0), '', '', '', '', (SELECT max(map_version) FROM signal_map);

-- 0007
-- Signals derived again win over those derived before, and only they do: a raw row sent again after
-- the map changed must not, so precedence goes by derived_version and no longer by map_version. What
-- the views write has 0 there. A signal derived again keeps the ingest_time of its first arrival.
ALTER TABLE signals_local ON CLUSTER mlp ADD COLUMN IF NOT EXISTS derived_version UInt32 DEFAULT 0 AFTER map_version;

-- 0007
ALTER TABLE signals ON CLUSTER mlp ADD COLUMN IF NOT EXISTS derived_version UInt32 DEFAULT 0 AFTER map_version;

-- 0007
ALTER TABLE signals_local ON CLUSTER mlp ADD COLUMN IF NOT EXISTS derived_time DateTime64(3, 'UTC') DEFAULT 0 AFTER derived_version;

-- 0007
ALTER TABLE signals ON CLUSTER mlp ADD COLUMN IF NOT EXISTS derived_time DateTime64(3, 'UTC') DEFAULT 0 AFTER derived_version;

-- 0007
ALTER TABLE signals_local ON CLUSTER mlp MODIFY COLUMN precedence UInt64 MATERIALIZED bitShiftLeft(toUInt64(derived_version), 42)
    + (4398046511103 - toUInt64(greatest(toUnixTimestamp64Milli(ingest_time), 0)));

-- 0007
ALTER TABLE signals ON CLUSTER mlp MODIFY COLUMN precedence UInt64 MATERIALIZED bitShiftLeft(toUInt64(derived_version), 42)
    + (4398046511103 - toUInt64(greatest(toUnixTimestamp64Milli(ingest_time), 0)));

-- 0008
-- What came, what became of it, and what was lost before it came, by service (docs/accounting.md,
-- docs/adr/0010-accounting.md). Days are days of arrival, like the partitions of the raw tables.

-- What arrived, repeated deliveries included. The one additive table that views feed: it counts
-- arrivals and not events, and no analysis reads it. Without a deduplication window on purpose: a
-- block that is sent again is dropped from the raw table and counted here.
CREATE TABLE IF NOT EXISTS arrivals_local ON CLUSTER mlp
(
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    arrived SimpleAggregateFunction(sum, UInt64),
    refused SimpleAggregateFunction(sum, UInt64)
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/default/arrivals_local', '{replica}')
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + INTERVAL 180 DAY;

-- 0008
CREATE TABLE IF NOT EXISTS arrivals ON CLUSTER mlp AS arrivals_local
ENGINE = Distributed('mlp', 'default', 'arrivals_local', cityHash64(service_name));

-- 0008
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_to_arrivals ON CLUSTER mlp TO arrivals_local AS
SELECT
    toDate(IngestTime) AS arrival_day,
    'traces' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_traces_local
GROUP BY arrival_day, source, service_name;

-- 0008
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_logs_to_arrivals ON CLUSTER mlp TO arrivals_local AS
SELECT
    toDate(IngestTime) AS arrival_day,
    'logs' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_logs_local
GROUP BY arrival_day, source, service_name;

-- 0008
-- Whose record it was; empty where the sender's frame was too broken to tell.
ALTER TABLE rejected_local ON CLUSTER mlp ADD COLUMN IF NOT EXISTS service_name LowCardinality(String) AFTER source;

-- 0008
ALTER TABLE rejected ON CLUSTER mlp ADD COLUMN IF NOT EXISTS service_name LowCardinality(String) AFTER source;

-- 0008
CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_to_arrivals ON CLUSTER mlp TO arrivals_local AS
SELECT
    toDate(ingest_time) AS arrival_day,
    source,
    service_name,
    count() AS refused
FROM rejected_local
GROUP BY arrival_day, source, service_name;

-- 0008
-- What a day's arrivals came to when they were last counted: how many of them are different
-- records. A day is counted again when its arrivals have changed (store/accounting.py).
CREATE TABLE IF NOT EXISTS arrivals_counted_local ON CLUSTER mlp
(
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    counted_time DateTime64(3, 'UTC'),
    arrived UInt64,
    refused UInt64,
    stored UInt64,
    rejected UInt64,
    rejected_by_reason Map(LowCardinality(String), UInt64),
    out_of_range UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/arrivals_counted_local', '{replica}', counted_time)
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + INTERVAL 180 DAY;

-- 0008
CREATE TABLE IF NOT EXISTS arrivals_counted ON CLUSTER mlp AS arrivals_counted_local
ENGINE = Distributed('mlp', 'default', 'arrivals_counted_local', cityHash64(service_name));

-- 0008
-- What settling found of the signals of each service, by their day and the day they arrived.
CREATE TABLE IF NOT EXISTS services_daily_local ON CLUSTER mlp
(
    event_day Date,
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    signals UInt64,
    without_user UInt64,
    late UInt64,
    unmapped UInt64,
    unknown_stage UInt64,
    sampled UInt64
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/services_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (arrival_day, source, service_name);

-- 0008
CREATE TABLE IF NOT EXISTS services_daily ON CLUSTER mlp AS services_daily_local
ENGINE = Distributed('mlp', 'default', 'services_daily_local', cityHash64(service_name));

-- 0008
CREATE TABLE IF NOT EXISTS settling_services_daily_local ON CLUSTER mlp AS services_daily_local
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/default/settling_services_daily_local', '{replica}')
PARTITION BY event_day
ORDER BY (arrival_day, source, service_name);

-- 0008
CREATE TABLE IF NOT EXISTS settling_services_daily ON CLUSTER mlp AS settling_services_daily_local
ENGINE = Distributed('mlp', 'default', 'settling_services_daily_local', cityHash64(service_name));

-- 0008
-- Requests of which nothing was kept, and metrics that are not: by way in, kind and reason. Whose
-- they were was not read.
CREATE TABLE IF NOT EXISTS turned_away_local ON CLUSTER mlp
(
    arrival_day Date,
    way LowCardinality(String),
    source LowCardinality(String),
    reason LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64),
    records SimpleAggregateFunction(sum, UInt64)
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/default/turned_away_local', '{replica}')
ORDER BY (arrival_day, way, source, reason)
TTL arrival_day + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 1000;

-- 0008
CREATE TABLE IF NOT EXISTS turned_away ON CLUSTER mlp AS turned_away_local
ENGINE = Distributed('mlp', 'default', 'turned_away_local', cityHash64(arrival_day));

-- 0008
-- Counters of the SDKs and the Collectors on the way to us. Columns as the Collector's clickhouse
-- exporter writes them; nothing is kept here, the view below keeps what accounting needs.
CREATE TABLE IF NOT EXISTS otel_metrics_sum_local ON CLUSTER mlp
(
    ResourceAttributes Map(LowCardinality(String), String),
    ResourceSchemaUrl String,
    ScopeName String,
    ScopeVersion String,
    ScopeAttributes Map(LowCardinality(String), String),
    ScopeDroppedAttrCount UInt32,
    ScopeSchemaUrl String,
    ServiceName LowCardinality(String),
    MetricName LowCardinality(String),
    MetricDescription String,
    MetricUnit String,
    Attributes Map(LowCardinality(String), String),
    StartTimeUnix DateTime64(9, 'UTC'),
    TimeUnix DateTime64(9, 'UTC'),
    Value Float64,
    Flags UInt32,
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9, 'UTC'),
        Value Float64,
        SpanId String,
        TraceId String
    ),
    AggregationTemporality Int32,
    IsMonotonic Bool
)
ENGINE = Null;

-- 0008
CREATE TABLE IF NOT EXISTS otel_metrics_sum ON CLUSTER mlp AS otel_metrics_sum_local
ENGINE = Distributed('mlp', 'default', 'otel_metrics_sum_local', cityHash64(ServiceName));

-- 0008
-- A counter is cumulative since its start time, so of each day its last value is enough: points of
-- one series, start and day replace each other by time. Increments (temporality 1) are kept each.
CREATE TABLE IF NOT EXISTS path_metrics_local ON CLUSTER mlp
(
    service_name LowCardinality(String),
    instance String CODEC(ZSTD(1)),
    metric LowCardinality(String),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    is_increment Bool,
    ingest_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    series FixedString(16) MATERIALIZED sipHash128(service_name, instance, metric, toString(attributes), is_increment),
    period DateTime64(9, 'UTC') MATERIALIZED if(is_increment, time, toDateTime64(toStartOfDay(ingest_time, 'UTC'), 9, 'UTC'))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/path_metrics_local', '{replica}', time)
PARTITION BY toDate(ingest_time)
ORDER BY (series, start_time, period)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;

-- 0008
CREATE TABLE IF NOT EXISTS path_metrics ON CLUSTER mlp AS path_metrics_local
ENGINE = Distributed('mlp', 'default', 'path_metrics_local', cityHash64(service_name));

-- 0008
ALTER TABLE path_metrics ON CLUSTER mlp MODIFY COLUMN ingest_time DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC');

-- 0008
-- Names and attributes are a list, so that nothing else (and nothing about a person) gets in.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_metrics_sum_to_path_metrics ON CLUSTER mlp TO path_metrics_local AS
SELECT
    ServiceName AS service_name,
    ResourceAttributes['service.instance.id'] AS instance,
    MetricName AS metric,
    mapFilter((key, value) -> key IN (
        'error.type', 'exporter', 'filter', 'otel.component.name', 'receiver', 'transport'
    ), Attributes) AS attributes,
    StartTimeUnix AS start_time,
    TimeUnix AS time,
    Value AS value,
    AggregationTemporality = 1 AS is_increment
FROM otel_metrics_sum_local
WHERE isFinite(Value) AND Value >= 0 AND MetricName IN (
    'otel.sdk.processor.span.processed',
    'otel.sdk.processor.log.processed',
    'otel.sdk.exporter.span.exported',
    'otel.sdk.exporter.log.exported',
    'otelcol_receiver_accepted_spans',
    'otelcol_receiver_accepted_log_records',
    'otelcol_receiver_refused_spans',
    'otelcol_receiver_refused_log_records',
    'otelcol_receiver_failed_spans',
    'otelcol_receiver_failed_log_records',
    'otelcol_processor_filter_spans.filtered',
    'otelcol_processor_filter_logs.filtered',
    'otelcol_exporter_sent_spans',
    'otelcol_exporter_sent_log_records',
    'otelcol_exporter_send_failed_spans',
    'otelcol_exporter_send_failed_log_records',
    'otelcol_exporter_enqueue_failed_spans',
    'otelcol_exporter_enqueue_failed_log_records'
);

-- 0008
-- One row per day of arrival, kind of telemetry and service.
-- received = stored + duplicated + rejected + uncounted.
CREATE VIEW IF NOT EXISTS accounting ON CLUSTER mlp AS
SELECT
    day,
    source,
    service_name,
    n_stored + n_again + n_rejected + n_new AS received,
    n_stored AS stored,
    n_again AS duplicated,
    n_rejected AS rejected,
    -- Arrived since the day was last counted.
    n_new AS uncounted,
    reasons AS rejected_by_reason,
    n_outside AS out_of_range,
    n_signals AS signals,
    n_without_user AS without_user,
    n_late AS late,
    n_unmapped AS unmapped,
    n_unknown_stage AS unknown_stage,
    n_sampled AS sampled
FROM
(
    SELECT
        day,
        source,
        service_name,
        sum(counted_stored) AS n_stored,
        sum(counted_rejected) AS n_rejected,
        toUInt64(greatest(toInt64(sum(counted_arrived)) - toInt64(n_stored), 0)
            + greatest(toInt64(sum(counted_refused)) - toInt64(n_rejected), 0)) AS n_again,
        toUInt64(greatest(toInt64(sum(has_arrived)) - toInt64(sum(counted_arrived)), 0)
            + greatest(toInt64(sum(has_refused)) - toInt64(sum(counted_refused)), 0)) AS n_new,
        sumMap(counted_reasons) AS reasons,
        sum(counted_outside) AS n_outside,
        sum(settled_signals) AS n_signals,
        sum(settled_without_user) AS n_without_user,
        sum(settled_late) AS n_late,
        sum(settled_unmapped) AS n_unmapped,
        sum(settled_unknown_stage) AS n_unknown_stage,
        sum(settled_sampled) AS n_sampled
    FROM
    (
        SELECT
            arrival_day AS day, source, service_name,
            arrived AS has_arrived, refused AS has_refused,
            toUInt64(0) AS counted_arrived, toUInt64(0) AS counted_refused, toUInt64(0) AS counted_stored,
            toUInt64(0) AS counted_rejected, CAST(map(), 'Map(LowCardinality(String), UInt64)') AS counted_reasons,
            toUInt64(0) AS counted_outside,
            toUInt64(0) AS settled_signals, toUInt64(0) AS settled_without_user, toUInt64(0) AS settled_late,
            toUInt64(0) AS settled_unmapped, toUInt64(0) AS settled_unknown_stage, toUInt64(0) AS settled_sampled
        FROM arrivals
        UNION ALL
        SELECT
            arrival_day, source, service_name, 0, 0,
            arrived, refused, stored, rejected, rejected_by_reason, out_of_range,
            0, 0, 0, 0, 0, 0
        FROM arrivals_counted FINAL
        UNION ALL
        SELECT
            arrival_day, source, service_name, 0, 0,
            0, 0, 0, 0, CAST(map(), 'Map(LowCardinality(String), UInt64)'), 0,
            signals, without_user, late, unmapped, unknown_stage, sampled
        FROM services_daily
    )
    GROUP BY day, source, service_name
);

-- 0008
-- What each hop before the store said it did, by day: `outcome` is processed, received, sent, refused
-- (whoever sent it still has it), filtered (left out by configuration) or lost (nobody has it).
CREATE VIEW IF NOT EXISTS accounting_path ON CLUSTER mlp AS
SELECT
    day,
    if(startsWith(metric, 'otelcol_'), 'collector', 'sdk') AS hop,
    service_name,
    instance,
    multiIf(
        attributes['exporter'] != '', attributes['exporter'],
        attributes['receiver'] != '', concat(attributes['receiver'], '/', attributes['transport']),
        attributes['filter'] != '', attributes['filter'],
        attributes['otel.component.name']) AS component,
    if(position(metric, 'span') > 0, 'traces', 'logs') AS source,
    multiIf(
        metric LIKE 'otelcol_exporter_send_failed%', 'lost',
        metric LIKE 'otelcol_exporter_sent%', 'sent',
        metric LIKE 'otelcol_receiver_accepted%', 'received',
        metric LIKE 'otelcol_processor_filter%', 'filtered',
        startsWith(metric, 'otelcol_'), 'refused',
        attributes['error.type'] != '', 'lost',
        metric LIKE '%.exported', 'sent',
        'processed') AS outcome,
    multiIf(
        outcome NOT IN ('lost', 'refused'), '',
        attributes['error.type'] != '', attributes['error.type'],
        metric LIKE 'otelcol_exporter_send_failed%', 'send_failed',
        metric LIKE 'otelcol_exporter_enqueue_failed%', 'enqueue_failed',
        metric LIKE 'otelcol_receiver_failed%', 'failed_inside',
        'refused_next') AS reason,
    toUInt64(sum(greatest(reached - before, 0))) AS records
FROM
(
    SELECT
        day, series, start_time, service_name, instance, metric, attributes, reached,
        lagInFrame(reached, 1, toFloat64(0)) OVER (
            PARTITION BY series, start_time ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
    FROM
    (
        SELECT
            toDate(ingest_time) AS day, series, start_time,
            any(path_metrics.service_name) AS service_name, any(path_metrics.instance) AS instance,
            any(path_metrics.metric) AS metric, any(path_metrics.attributes) AS attributes,
            if(any(is_increment), sum(value), max(value)) AS reached
        FROM path_metrics FINAL
        GROUP BY day, series, start_time
    )
)
GROUP BY day, hop, service_name, instance, component, source, outcome, reason
HAVING records > 0;

-- 0009
-- What people said of challenges and what became of what was done about them. Both only grow: how a
-- challenge stands is folded from them and from the results of the runs, never stored.

CREATE TABLE IF NOT EXISTS challenge_reviews_local ON CLUSTER mlp
(
    review_id String,
    place_id String,
    signal_kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    signal String,
    kind LowCardinality(String),
    review_time DateTime64(3, 'UTC'),
    reviewer String,
    comment String CODEC(ZSTD(3)),
    -- Of an intervention: from when on users met it, and whom it touched (nobody named: everybody).
    effective_time DateTime64(3, 'UTC'),
    segments Array(LowCardinality(String))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/challenge_reviews_local', '{replica}')
ORDER BY (place_id, review_time, review_id)
SETTINGS replicated_deduplication_window = 1000;

-- 0009
CREATE TABLE IF NOT EXISTS challenge_reviews ON CLUSTER mlp AS challenge_reviews_local
ENGINE = Distributed('mlp', 'default', 'challenge_reviews_local', cityHash64(place_id));

-- 0009
CREATE TABLE IF NOT EXISTS challenge_comparisons_local ON CLUSTER mlp
(
    analysis_id String,
    place_id String,
    review_id String,
    effect LowCardinality(String),
    change Float64,
    low Float64,
    high Float64,
    touched_before Float64,
    touched_after Float64,
    -- NaN: nobody was left untouched.
    untouched_before Float64,
    untouched_after Float64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/default/challenge_comparisons_local', '{replica}')
ORDER BY (analysis_id, place_id, review_id)
SETTINGS replicated_deduplication_window = 1000;

-- 0009
CREATE TABLE IF NOT EXISTS challenge_comparisons ON CLUSTER mlp AS challenge_comparisons_local
ENGINE = Distributed('mlp', 'default', 'challenge_comparisons_local', cityHash64(analysis_id));

-- 0010
-- Services under stock instrumentations say some things in other words.
-- A route: the older HTTP conventions have the path in http.target, with its query.
-- A failure: the newer ones put the bare status into error.type even where an exception was recorded,
-- and "500" would make one failure of many; the older ones have no error.type, and the status says
-- more than nothing.
-- An ASGI server's spans for each message of a request ("POST /jobs http send") repeat the request's
-- own span, its failure included; they stay raw and make no signal.
ALTER TABLE otel_traces_to_signals ON CLUSTER mlp MODIFY QUERY
WITH
    if(SpanAttributes['user.hash'] != '', SpanAttributes['user.hash'], ResourceAttributes['user.hash']) AS user_hash,
    if(SpanAttributes['mlp.stage'] != '', SpanAttributes['mlp.stage'], ResourceAttributes['mlp.stage']) AS said_stage,
    if(SpanAttributes['mlp.component'] != '', SpanAttributes['mlp.component'], ResourceAttributes['mlp.component']) AS said_component,
    multiIf(
        SpanAttributes['http.route'] != '', SpanAttributes['http.route'],
        SpanAttributes['url.path'] != '', SpanAttributes['url.path'],
        cutQueryString(SpanAttributes['http.target'])) AS route,
    if(said_stage != '', 0, dictGet('signal_map_match', 'rule_id',
        toLowCardinality(concat(ServiceName, '\n', SpanName, '\n', route)))) AS rule,
    dictGet('signal_map_rule', ('stage', 'component', 'action', 'action_kind', 'map_version'), toUInt64(rule)) AS mapped,
    if(SpanAttributes['error.type'] != '', SpanAttributes['error.type'], SpanAttributes['exception.type']) AS said_error,
    arrayFirst((attributes, name) -> name = 'exception', Events.Attributes, Events.Name)['exception.type'] AS recorded_error,
    if(SpanAttributes['http.response.status_code'] != '', SpanAttributes['http.response.status_code'],
        SpanAttributes['http.status_code']) AS http_status,
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
        said_error != '' AND NOT match(said_error, '^[1-5][0-9]{2}$'), said_error,
        SpanAttributes['exception.type'] != '', SpanAttributes['exception.type'],
        recorded_error != '', recorded_error,
        said_error != '', said_error,
        match(http_status, '^[1-5][0-9]{2}$'), http_status,
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
FROM otel_traces_local
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
    AND SpanAttributes['asgi.event.type'] = '';

-- at run time
TRUNCATE TABLE settling_signals_local ON CLUSTER mlp;
TRUNCATE TABLE settling_propagated_local ON CLUSTER mlp;
TRUNCATE TABLE settling_attempts_daily_local ON CLUSTER mlp;
TRUNCATE TABLE settling_failures_local ON CLUSTER mlp;
TRUNCATE TABLE settling_repeats_daily_local ON CLUSTER mlp;
TRUNCATE TABLE settling_sessions_daily_local ON CLUSTER mlp;
TRUNCATE TABLE settling_services_daily_local ON CLUSTER mlp;
SYSTEM SYNC REPLICA ON CLUSTER mlp settling_attempts_daily_local;
ALTER TABLE attempts_daily_local ON CLUSTER mlp REPLACE PARTITION '2026-01-05' FROM settling_attempts_daily_local;
SYSTEM SYNC REPLICA ON CLUSTER mlp settling_failures_local;
ALTER TABLE failures_local ON CLUSTER mlp REPLACE PARTITION '2026-01-05' FROM settling_failures_local;
SYSTEM SYNC REPLICA ON CLUSTER mlp settling_repeats_daily_local;
ALTER TABLE repeats_daily_local ON CLUSTER mlp REPLACE PARTITION '2026-01-05' FROM settling_repeats_daily_local;
SYSTEM SYNC REPLICA ON CLUSTER mlp settling_sessions_daily_local;
ALTER TABLE sessions_daily_local ON CLUSTER mlp REPLACE PARTITION '2026-01-05' FROM settling_sessions_daily_local;
SYSTEM SYNC REPLICA ON CLUSTER mlp settling_services_daily_local;
ALTER TABLE services_daily_local ON CLUSTER mlp REPLACE PARTITION '2026-01-05' FROM settling_services_daily_local;
ALTER TABLE attempts_daily_local ON CLUSTER mlp DROP PARTITION '2026-01-05';
ALTER TABLE failures_local ON CLUSTER mlp DROP PARTITION '2026-01-05';
ALTER TABLE repeats_daily_local ON CLUSTER mlp DROP PARTITION '2026-01-05';
ALTER TABLE sessions_daily_local ON CLUSTER mlp DROP PARTITION '2026-01-05';
ALTER TABLE services_daily_local ON CLUSTER mlp DROP PARTITION '2026-01-05';
SYSTEM SYNC REPLICA ON CLUSTER mlp signal_map;
SYSTEM RELOAD DICTIONARY ON CLUSTER mlp signal_map_match;
SYSTEM SYNC REPLICA ON CLUSTER mlp signal_map;
SYSTEM RELOAD DICTIONARY ON CLUSTER mlp signal_map_rule;
