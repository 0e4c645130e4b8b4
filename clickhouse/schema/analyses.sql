CREATE TABLE analyses
(
    `analysis_id` String,
    `status` LowCardinality(String),
    `created_time` DateTime64(3, 'UTC'),
    `updated_time` DateTime64(6, 'UTC'),
    `window_start` DateTime64(3, 'UTC'),
    `window_end` DateTime64(3, 'UTC'),
    `known_at` DateTime64(3, 'UTC'),
    `rule_set` LowCardinality(String),
    `rule_set_version` String,
    `preset` LowCardinality(String),
    `rated` UInt32,
    `unrated` UInt32,
    `segment_sizes` Map(LowCardinality(String), UInt32),
    `challenges` UInt32,
    `error` String,
    `detail` String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY analysis_id
SETTINGS non_replicated_deduplication_window = 1000;
