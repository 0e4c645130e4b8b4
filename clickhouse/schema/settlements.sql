CREATE TABLE settlements
(
    `settled_time` DateTime64(3, 'UTC'),
    `watermark` DateTime64(3, 'UTC'),
    `tail_signals` UInt64,
    `tail_hash` UInt64,
    `days` UInt64,
    `signals` UInt64,
    `duration_ms` UInt64
)
ENGINE = MergeTree
ORDER BY settled_time
SETTINGS non_replicated_deduplication_window = 1000;
