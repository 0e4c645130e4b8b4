CREATE VIEW mlp_action
(
    `event_time` DateTime64(9, 'UTC'),
    `ingest_time` DateTime64(3, 'UTC'),
    `user_hash` String,
    `session_id` String,
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `outcome` LowCardinality(String),
    `digest` String,
    `target_id` String,
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
    action_kind,
    outcome,
    digest,
    target_id,
    trace_id,
    span_id
FROM signals
FINAL
WHERE action_kind != '';
