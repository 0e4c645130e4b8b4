-- What people said of challenges and what became of what was done about them. Both only grow: how a
-- challenge stands is folded from them and from the results of the runs, never stored.

CREATE TABLE IF NOT EXISTS challenge_reviews
(
    review_id String,
    place_id String,
    signal_kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    signal String,
    kind LowCardinality(String),
    review_time DateTime64(3, 'UTC'),
    reviewer String,
    comment String CODEC(ZSTD(3)),
    -- Of an intervention: from when on users met it, and whom it touched (nobody named: everybody).
    effective_time DateTime64(3, 'UTC'),
    segments Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree
ORDER BY (place_id, review_time, review_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS challenge_comparisons
(
    analysis_id String,
    place_id String,
    review_id String,
    effect LowCardinality(String),
    change Float64,
    low Float64,
    high Float64,
    touched_before Float64,
    touched_after Float64,
    -- NaN: nobody was left untouched.
    untouched_before Float64,
    untouched_after Float64
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, place_id, review_id)
SETTINGS non_replicated_deduplication_window = 1000;
