CREATE TABLE settled_days
(
    `event_day` Date,
    `settled_time` DateTime64(3, 'UTC'),
    `known_at` DateTime64(3, 'UTC'),
    `signals` UInt64,
    `attempts` UInt64,
    `failures` UInt64,
    `propagated` UInt64,
    `without_user` UInt64,
    `unmapped` UInt64,
    `unknown_stage` UInt64
)
ENGINE = ReplacingMergeTree(settled_time)
ORDER BY event_day
SETTINGS non_replicated_deduplication_window = 1000;
