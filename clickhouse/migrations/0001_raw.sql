-- Raw telemetry with the column names and types of the Collector's clickhouse exporter, which
-- therefore writes here with `create_schema: false`. IngestTime is ours: partitions and expiry go
-- by it and never by event time, because one insert may span years of event time and a limit
-- on partitions would then refuse it for good.
-- Rows are kept 180 days: the longest window (a calendar month that touches 28 days, 59 days)
-- plus 90 days, rounded up.
-- Replacing by identity: a batch that is re-cut on retry escapes block deduplication; queries with
-- FINAL (every reader handle sets it) then still see each span once.

CREATE TABLE IF NOT EXISTS otel_traces
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9, 'UTC'),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    IngestTime DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    INDEX otel_traces_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(IngestTime)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp, 'UTC'), TraceId, SpanId)
TTL toDate(IngestTime) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel_logs
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1)),
    IngestTime DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    -- Identity of a record: its own id, else a hash of everything the sender said.
    RecordId FixedString(16) MATERIALIZED if(
        LogAttributes['log.record.uid'] != '',
        sipHash128('uid', LogAttributes['log.record.uid']),
        sipHash128(
            Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body,
            toString(ResourceAttributes), ScopeName, ScopeVersion, toString(ScopeAttributes),
            toString(LogAttributes), EventName
        )
    ) CODEC(ZSTD(1)),
    INDEX otel_logs_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(IngestTime)
ORDER BY (ServiceName, EventName, toDateTime(Timestamp, 'UTC'), RecordId)
TTL toDate(IngestTime) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- What could not be stored, with the reason, instead of blocking what can.
CREATE TABLE IF NOT EXISTS rejected
(
    ingest_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    source LowCardinality(String),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(3)),
    record String CODEC(ZSTD(3)),
    -- The same record refused again, in another batch, is one rejection.
    record_id FixedString(16) MATERIALIZED sipHash128(detail, record)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ingest_time)
ORDER BY (source, reason, record_id)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
