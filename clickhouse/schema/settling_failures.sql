CREATE TABLE settling_failures
(
    `event_day` Date,
    `event_time` DateTime64(9, 'UTC'),
    `ingest_time` DateTime64(3, 'UTC'),
    `signal_id` FixedString(16),
    `trace_id` String,
    `user_key` FixedString(16),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `error_type` LowCardinality(String),
    `duration_ns` UInt64,
    `weight` Float64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (stage, component, error_type, user_key, event_time, signal_id);
