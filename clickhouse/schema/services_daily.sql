CREATE TABLE services_daily
(
    `event_day` Date,
    `arrival_day` Date,
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `signals` UInt64,
    `without_user` UInt64,
    `late` UInt64,
    `unmapped` UInt64,
    `unknown_stage` UInt64,
    `sampled` UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (arrival_day, source, service_name);
