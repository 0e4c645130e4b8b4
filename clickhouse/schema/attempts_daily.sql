CREATE TABLE attempts_daily
(
    `event_day` Date,
    `user_key` FixedString(16),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `events` UInt64,
    `attempts` UInt64,
    `failed_attempts` UInt64,
    `completed` UInt64,
    `completed_log_micros` Int64,
    `duration_ns` UInt64,
    `failed_ns` UInt64,
    `wait_ns` UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (user_key, stage, component, action, action_kind);
