CREATE TABLE signals
(
    `signal_id` FixedString(16),
    `source` LowCardinality(String),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `parent_span_id` String CODEC(ZSTD(1)),
    `event_time` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ingest_time` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `user_key` FixedString(16) CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `service_name` LowCardinality(String),
    `span_kind` LowCardinality(String),
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `time_kind` LowCardinality(String),
    `outcome` LowCardinality(String),
    `error_type` LowCardinality(String),
    `duration_ns` UInt64 CODEC(ZSTD(1)),
    `wait_ns` UInt64 CODEC(ZSTD(1)),
    `digest` String CODEC(ZSTD(1)),
    `target_id` String CODEC(ZSTD(1)),
    `map_rule` UInt32,
    `map_version` UInt32,
    `derived_version` UInt32 DEFAULT 0,
    `derived_time` DateTime64(3, 'UTC') DEFAULT 0,
    `weight` Float64 CODEC(ZSTD(1)),
    `facets` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `precedence` UInt64 MATERIALIZED bitShiftLeft(toUInt64(derived_version), 42) + (4398046511103 - toUInt64(greatest(toUnixTimestamp64Milli(ingest_time), 0))),
    INDEX signals_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX signals_ingest_time ingest_time TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toDate(ingest_time)
ORDER BY (toDate(event_time, 'UTC'), user_key, event_time, signal_id)
TTL toDate(ingest_time) + toIntervalDay(180)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
