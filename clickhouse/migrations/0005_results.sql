-- What analyses say. Results are written once per analysis and never changed.

CREATE TABLE IF NOT EXISTS analyses
(
    analysis_id String,
    status LowCardinality(String),
    created_time DateTime64(3, 'UTC'),
    updated_time DateTime64(6, 'UTC'),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    known_at DateTime64(3, 'UTC'),
    rule_set LowCardinality(String),
    rule_set_version String,
    preset LowCardinality(String),
    rated UInt32,
    unrated UInt32,
    segment_sizes Map(LowCardinality(String), UInt32),
    challenges UInt32,
    error String,
    detail String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree(updated_time)
ORDER BY analysis_id
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS user_segments
(
    analysis_id String,
    user_key FixedString(16),
    segment LowCardinality(String),
    membership Float64,
    borderline Bool,
    features Map(LowCardinality(String), Float64)
)
ENGINE = ReplacingMergeTree
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS segments
(
    analysis_id String,
    segment LowCardinality(String),
    rank UInt8,
    users UInt32,
    proficiency Float64,
    centroid Map(LowCardinality(String), Float64)
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, rank)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS challenges
(
    analysis_id String,
    challenge_id String,
    rank UInt32,
    kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    signal String,
    signal_kind LowCardinality(String),
    rule LowCardinality(String),
    grade LowCardinality(String),
    probability Float64,
    users_affected UInt32,
    time_lost_seconds Float64,
    evidence String CODEC(ZSTD(3)),
    evidence_query String CODEC(ZSTD(3)),
    example_trace_ids Array(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, challenge_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS user_bottlenecks
(
    analysis_id String,
    user_key FixedString(16),
    stage LowCardinality(String),
    status LowCardinality(String),
    rank UInt32,
    challenge_id String,
    time_lost_seconds Float64,
    share_of_time Float64
)
ENGINE = ReplacingMergeTree
PARTITION BY cityHash64(analysis_id) % 16
ORDER BY (analysis_id, user_key, stage, rank)
SETTINGS non_replicated_deduplication_window = 1000;
