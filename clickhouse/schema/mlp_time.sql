CREATE VIEW mlp_time
(
    `event_time` DateTime64(9, 'UTC'),
    `ingest_time` DateTime64(3, 'UTC'),
    `user_hash` String,
    `session_id` String,
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `time_kind` LowCardinality(String),
    `duration_ns` UInt64,
    `wait_ns` UInt64,
    `trace_id` String,
    `span_id` String
)
AS SELECT
    event_time,
    ingest_time,
    lower(hex(user_key)) AS user_hash,
    session_id,
    stage,
    component,
    action,
    time_kind,
    duration_ns,
    wait_ns,
    trace_id,
    span_id
FROM signals
FINAL
WHERE (time_kind != '') OR (duration_ns > 0);
