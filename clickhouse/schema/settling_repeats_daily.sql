CREATE TABLE settling_repeats_daily
(
    `event_day` Date,
    `user_key` FixedString(16),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `digest` String,
    `times` UInt64,
    `duration_ns` UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (stage, component, action, user_key, digest);
