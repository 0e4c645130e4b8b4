CREATE TABLE challenge_comparisons
(
    `analysis_id` String,
    `place_id` String,
    `review_id` String,
    `effect` LowCardinality(String),
    `change` Float64,
    `low` Float64,
    `high` Float64,
    `touched_before` Float64,
    `touched_after` Float64,
    `untouched_before` Float64,
    `untouched_after` Float64
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, place_id, review_id)
SETTINGS non_replicated_deduplication_window = 1000;
