CREATE TABLE otel_logs
(
    `Timestamp` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `TraceId` String CODEC(ZSTD(1)),
    `SpanId` String CODEC(ZSTD(1)),
    `TraceFlags` UInt8,
    `SeverityText` LowCardinality(String) CODEC(ZSTD(1)),
    `SeverityNumber` UInt8,
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)),
    `Body` String CODEC(ZSTD(1)),
    `ResourceSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeName` String CODEC(ZSTD(1)),
    `ScopeVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `LogAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `EventName` String CODEC(ZSTD(1)),
    `IngestTime` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `RecordId` FixedString(16) MATERIALIZED if((LogAttributes['log.record.uid']) != '', sipHash128('uid', LogAttributes['log.record.uid']), sipHash128(Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, toString(ResourceAttributes), ScopeName, ScopeVersion, toString(ScopeAttributes), toString(LogAttributes), EventName)) CODEC(ZSTD(1)),
    INDEX otel_logs_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(IngestTime)
ORDER BY (ServiceName, EventName, toDateTime(Timestamp, 'UTC'), RecordId)
TTL toDate(IngestTime) + toIntervalDay(180)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
