CREATE TABLE challenges
(
    `analysis_id` String,
    `challenge_id` String,
    `rank` UInt32,
    `kind` LowCardinality(String),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `signal` String,
    `signal_kind` LowCardinality(String),
    `rule` LowCardinality(String),
    `grade` LowCardinality(String),
    `probability` Float64,
    `users_affected` UInt32,
    `time_lost_seconds` Float64,
    `evidence` String CODEC(ZSTD(3)),
    `evidence_query` String CODEC(ZSTD(3)),
    `example_trace_ids` Array(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, challenge_id)
SETTINGS non_replicated_deduplication_window = 1000;
