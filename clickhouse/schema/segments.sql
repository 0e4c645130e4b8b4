CREATE TABLE segments
(
    `analysis_id` String,
    `segment` LowCardinality(String),
    `rank` UInt8,
    `users` UInt32,
    `proficiency` Float64,
    `centroid` Map(LowCardinality(String), Float64)
)
ENGINE = ReplacingMergeTree
ORDER BY (analysis_id, rank)
SETTINGS non_replicated_deduplication_window = 1000;
