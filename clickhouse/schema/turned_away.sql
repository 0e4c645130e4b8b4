CREATE TABLE turned_away
(
    `arrival_day` Date,
    `way` LowCardinality(String),
    `source` LowCardinality(String),
    `reason` LowCardinality(String),
    `requests` SimpleAggregateFunction(sum, UInt64),
    `records` SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (arrival_day, way, source, reason)
TTL arrival_day + toIntervalDay(180)
SETTINGS non_replicated_deduplication_window = 1000;
