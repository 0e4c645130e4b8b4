CREATE TABLE rejected
(
    `ingest_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `reason` LowCardinality(String),
    `detail` String CODEC(ZSTD(3)),
    `record` String CODEC(ZSTD(3)),
    `record_id` FixedString(16) MATERIALIZED sipHash128(detail, record)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ingest_time)
ORDER BY (source, reason, record_id)
TTL toDate(ingest_time) + toIntervalDay(180)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
