CREATE TABLE challenge_reviews
(
    `review_id` String,
    `place_id` String,
    `signal_kind` LowCardinality(String),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `signal` String,
    `kind` LowCardinality(String),
    `review_time` DateTime64(3, 'UTC'),
    `reviewer` String,
    `comment` String CODEC(ZSTD(3)),
    `effective_time` DateTime64(3, 'UTC'),
    `segments` Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree
ORDER BY (place_id, review_time, review_id)
SETTINGS non_replicated_deduplication_window = 1000;
