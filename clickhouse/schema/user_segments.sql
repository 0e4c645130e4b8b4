CREATE TABLE user_segments
(
    `analysis_id` String,
    `user_key` FixedString(16),
    `segment` LowCardinality(String),
    `membership` Float64,
    `borderline` Bool,
    `features` Map(LowCardinality(String), Float64)
)
ENGINE = ReplacingMergeTree
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key)
SETTINGS non_replicated_deduplication_window = 1000;
