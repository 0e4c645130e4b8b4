CREATE TABLE arrivals
(
    `arrival_day` Date,
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `arrived` SimpleAggregateFunction(sum, UInt64),
    `refused` SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + toIntervalDay(180);
