CREATE TABLE path_metrics
(
    `service_name` LowCardinality(String),
    `instance` String CODEC(ZSTD(1)),
    `metric` LowCardinality(String),
    `attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `start_time` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `time` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `value` Float64 CODEC(ZSTD(1)),
    `is_increment` Bool,
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    `series` FixedString(16) MATERIALIZED sipHash128(service_name, instance, metric, toString(attributes), is_increment),
    `period` DateTime64(9, 'UTC') MATERIALIZED if(is_increment, time, toDateTime64(toStartOfDay(ingest_time, 'UTC'), 9, 'UTC'))
)
ENGINE = ReplacingMergeTree(time)
PARTITION BY toDate(ingest_time)
ORDER BY (series, start_time, period)
TTL toDate(ingest_time) + toIntervalDay(180)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;
