CREATE TABLE user_bottlenecks
(
    `analysis_id` String,
    `user_key` FixedString(16),
    `stage` LowCardinality(String),
    `status` LowCardinality(String),
    `rank` UInt32,
    `challenge_id` String,
    `time_lost_seconds` Float64,
    `share_of_time` Float64
)
ENGINE = ReplacingMergeTree
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key, stage, rank)
SETTINGS non_replicated_deduplication_window = 1000;
