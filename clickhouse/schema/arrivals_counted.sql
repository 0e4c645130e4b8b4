CREATE TABLE arrivals_counted
(
    `arrival_day` Date,
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `counted_time` DateTime64(3, 'UTC'),
    `arrived` UInt64,
    `refused` UInt64,
    `stored` UInt64,
    `rejected` UInt64,
    `rejected_by_reason` Map(LowCardinality(String), UInt64),
    `out_of_range` UInt64
)
ENGINE = ReplacingMergeTree(counted_time)
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + toIntervalDay(180);
