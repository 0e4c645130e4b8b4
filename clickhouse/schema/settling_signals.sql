CREATE TABLE settling_signals
(
    `event_day` Date,
    `event_time` DateTime64(9, 'UTC'),
    `ingest_time` DateTime64(3, 'UTC'),
    `signal_id` FixedString(16),
    `parent_id` FixedString(16),
    `source` LowCardinality(String),
    `trace_id` String,
    `user_key` FixedString(16),
    `session_id` String,
    `service_name` LowCardinality(String),
    `span_kind` LowCardinality(String),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `outcome` LowCardinality(String),
    `error_type` LowCardinality(String),
    `duration_ns` UInt64,
    `wait_ns` UInt64,
    `digest` String,
    `weight` Float64
)
ENGINE = MergeTree
ORDER BY signal_id;
