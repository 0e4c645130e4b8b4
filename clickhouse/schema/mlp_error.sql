CREATE VIEW mlp_error
(
    `event_time` DateTime64(9, 'UTC'),
    `ingest_time` DateTime64(3, 'UTC'),
    `user_hash` String,
    `session_id` String,
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `error_type` LowCardinality(String),
    `duration_ns` UInt64,
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
    error_type,
    duration_ns,
    trace_id,
    span_id
FROM signals
FINAL
WHERE outcome = 'error';
