-- What came, what became of it, and what was lost before it came, by service (docs/accounting.md,
-- docs/adr/0010-accounting.md). Days are days of arrival, like the partitions of the raw tables.

-- What arrived, repeated deliveries included. The one additive table that views feed: it counts
-- arrivals and not events, and no analysis reads it. Without a deduplication window on purpose: a
-- block that is sent again is dropped from the raw table and counted here.
CREATE TABLE IF NOT EXISTS arrivals
(
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    arrived SimpleAggregateFunction(sum, UInt64),
    refused SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + INTERVAL 180 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_to_arrivals TO arrivals AS
SELECT
    toDate(IngestTime) AS arrival_day,
    'traces' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_traces
GROUP BY arrival_day, source, service_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_logs_to_arrivals TO arrivals AS
SELECT
    toDate(IngestTime) AS arrival_day,
    'logs' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_logs
GROUP BY arrival_day, source, service_name;

-- Whose record it was; empty where the sender's frame was too broken to tell.
ALTER TABLE rejected ADD COLUMN IF NOT EXISTS service_name LowCardinality(String) AFTER source;

CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_to_arrivals TO arrivals AS
SELECT
    toDate(ingest_time) AS arrival_day,
    source,
    service_name,
    count() AS refused
FROM rejected
GROUP BY arrival_day, source, service_name;

-- What a day's arrivals came to when they were last counted: how many of them are different
-- records. A day is counted again when its arrivals have changed (store/accounting.py).
CREATE TABLE IF NOT EXISTS arrivals_counted
(
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    counted_time DateTime64(3, 'UTC'),
    arrived UInt64,
    refused UInt64,
    stored UInt64,
    rejected UInt64,
    rejected_by_reason Map(LowCardinality(String), UInt64),
    out_of_range UInt64
)
ENGINE = ReplacingMergeTree(counted_time)
ORDER BY (arrival_day, source, service_name)
TTL arrival_day + INTERVAL 180 DAY;

-- What settling found of the signals of each service, by their day and the day they arrived.
CREATE TABLE IF NOT EXISTS services_daily
(
    event_day Date,
    arrival_day Date,
    source LowCardinality(String),
    service_name LowCardinality(String),
    signals UInt64,
    without_user UInt64,
    late UInt64,
    unmapped UInt64,
    unknown_stage UInt64,
    sampled UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (arrival_day, source, service_name);

CREATE TABLE IF NOT EXISTS settling_services_daily AS services_daily;

-- Requests of which nothing was kept, and metrics that are not: by way in, kind and reason. Whose
-- they were was not read.
CREATE TABLE IF NOT EXISTS turned_away
(
    arrival_day Date,
    way LowCardinality(String),
    source LowCardinality(String),
    reason LowCardinality(String),
    requests SimpleAggregateFunction(sum, UInt64),
    records SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (arrival_day, way, source, reason)
TTL arrival_day + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- Counters of the SDKs and the Collectors on the way to us. Columns as the Collector's clickhouse
-- exporter writes them; nothing is kept here, the view below keeps what accounting needs.
CREATE TABLE IF NOT EXISTS otel_metrics_sum
(
    ResourceAttributes Map(LowCardinality(String), String),
    ResourceSchemaUrl String,
    ScopeName String,
    ScopeVersion String,
    ScopeAttributes Map(LowCardinality(String), String),
    ScopeDroppedAttrCount UInt32,
    ScopeSchemaUrl String,
    ServiceName LowCardinality(String),
    MetricName LowCardinality(String),
    MetricDescription String,
    MetricUnit String,
    Attributes Map(LowCardinality(String), String),
    StartTimeUnix DateTime64(9, 'UTC'),
    TimeUnix DateTime64(9, 'UTC'),
    Value Float64,
    Flags UInt32,
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9, 'UTC'),
        Value Float64,
        SpanId String,
        TraceId String
    ),
    AggregationTemporality Int32,
    IsMonotonic Bool
)
ENGINE = Null;

-- A counter is cumulative since its start time, so of each day its last value is enough: points of
-- one series, start and day replace each other by time. Increments (temporality 1) are kept each.
CREATE TABLE IF NOT EXISTS path_metrics
(
    service_name LowCardinality(String),
    instance String CODEC(ZSTD(1)),
    metric LowCardinality(String),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    is_increment Bool,
    ingest_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    series FixedString(16) MATERIALIZED sipHash128(service_name, instance, metric, toString(attributes), is_increment),
    period DateTime64(9, 'UTC') MATERIALIZED if(is_increment, time, toDateTime64(toStartOfDay(ingest_time, 'UTC'), 9, 'UTC'))
)
ENGINE = ReplacingMergeTree(time)
PARTITION BY toDate(ingest_time)
ORDER BY (series, start_time, period)
TTL toDate(ingest_time) + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;

-- Names and attributes are a list, so that nothing else (and nothing about a person) gets in.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_metrics_sum_to_path_metrics TO path_metrics AS
SELECT
    ServiceName AS service_name,
    ResourceAttributes['service.instance.id'] AS instance,
    MetricName AS metric,
    mapFilter((key, value) -> key IN (
        'error.type', 'exporter', 'filter', 'otel.component.name', 'receiver', 'transport'
    ), Attributes) AS attributes,
    StartTimeUnix AS start_time,
    TimeUnix AS time,
    Value AS value,
    AggregationTemporality = 1 AS is_increment
FROM otel_metrics_sum
WHERE isFinite(Value) AND Value >= 0 AND MetricName IN (
    'otel.sdk.processor.span.processed',
    'otel.sdk.processor.log.processed',
    'otel.sdk.exporter.span.exported',
    'otel.sdk.exporter.log.exported',
    'otelcol_receiver_accepted_spans',
    'otelcol_receiver_accepted_log_records',
    'otelcol_receiver_refused_spans',
    'otelcol_receiver_refused_log_records',
    'otelcol_receiver_failed_spans',
    'otelcol_receiver_failed_log_records',
    'otelcol_processor_filter_spans.filtered',
    'otelcol_processor_filter_logs.filtered',
    'otelcol_exporter_sent_spans',
    'otelcol_exporter_sent_log_records',
    'otelcol_exporter_send_failed_spans',
    'otelcol_exporter_send_failed_log_records',
    'otelcol_exporter_enqueue_failed_spans',
    'otelcol_exporter_enqueue_failed_log_records'
);

-- One row per day of arrival, kind of telemetry and service.
-- received = stored + duplicated + rejected + uncounted.
CREATE VIEW IF NOT EXISTS accounting AS
SELECT
    day,
    source,
    service_name,
    n_stored + n_again + n_rejected + n_new AS received,
    n_stored AS stored,
    n_again AS duplicated,
    n_rejected AS rejected,
    -- Arrived since the day was last counted.
    n_new AS uncounted,
    reasons AS rejected_by_reason,
    n_outside AS out_of_range,
    n_signals AS signals,
    n_without_user AS without_user,
    n_late AS late,
    n_unmapped AS unmapped,
    n_unknown_stage AS unknown_stage,
    n_sampled AS sampled
FROM
(
    SELECT
        day,
        source,
        service_name,
        sum(counted_stored) AS n_stored,
        sum(counted_rejected) AS n_rejected,
        toUInt64(greatest(toInt64(sum(counted_arrived)) - toInt64(n_stored), 0)
            + greatest(toInt64(sum(counted_refused)) - toInt64(n_rejected), 0)) AS n_again,
        toUInt64(greatest(toInt64(sum(has_arrived)) - toInt64(sum(counted_arrived)), 0)
            + greatest(toInt64(sum(has_refused)) - toInt64(sum(counted_refused)), 0)) AS n_new,
        sumMap(counted_reasons) AS reasons,
        sum(counted_outside) AS n_outside,
        sum(settled_signals) AS n_signals,
        sum(settled_without_user) AS n_without_user,
        sum(settled_late) AS n_late,
        sum(settled_unmapped) AS n_unmapped,
        sum(settled_unknown_stage) AS n_unknown_stage,
        sum(settled_sampled) AS n_sampled
    FROM
    (
        SELECT
            arrival_day AS day, source, service_name,
            arrived AS has_arrived, refused AS has_refused,
            toUInt64(0) AS counted_arrived, toUInt64(0) AS counted_refused, toUInt64(0) AS counted_stored,
            toUInt64(0) AS counted_rejected, CAST(map(), 'Map(LowCardinality(String), UInt64)') AS counted_reasons,
            toUInt64(0) AS counted_outside,
            toUInt64(0) AS settled_signals, toUInt64(0) AS settled_without_user, toUInt64(0) AS settled_late,
            toUInt64(0) AS settled_unmapped, toUInt64(0) AS settled_unknown_stage, toUInt64(0) AS settled_sampled
        FROM arrivals
        UNION ALL
        SELECT
            arrival_day, source, service_name, 0, 0,
            arrived, refused, stored, rejected, rejected_by_reason, out_of_range,
            0, 0, 0, 0, 0, 0
        FROM arrivals_counted FINAL
        UNION ALL
        SELECT
            arrival_day, source, service_name, 0, 0,
            0, 0, 0, 0, CAST(map(), 'Map(LowCardinality(String), UInt64)'), 0,
            signals, without_user, late, unmapped, unknown_stage, sampled
        FROM services_daily
    )
    GROUP BY day, source, service_name
);

-- What each hop before the store said it did, by day: `outcome` is processed, received, sent, refused
-- (whoever sent it still has it), filtered (left out by configuration) or lost (nobody has it).
CREATE VIEW IF NOT EXISTS accounting_path AS
SELECT
    day,
    if(startsWith(metric, 'otelcol_'), 'collector', 'sdk') AS hop,
    service_name,
    instance,
    multiIf(
        attributes['exporter'] != '', attributes['exporter'],
        attributes['receiver'] != '', concat(attributes['receiver'], '/', attributes['transport']),
        attributes['filter'] != '', attributes['filter'],
        attributes['otel.component.name']) AS component,
    if(position(metric, 'span') > 0, 'traces', 'logs') AS source,
    multiIf(
        metric LIKE 'otelcol_exporter_send_failed%', 'lost',
        metric LIKE 'otelcol_exporter_sent%', 'sent',
        metric LIKE 'otelcol_receiver_accepted%', 'received',
        metric LIKE 'otelcol_processor_filter%', 'filtered',
        startsWith(metric, 'otelcol_'), 'refused',
        attributes['error.type'] != '', 'lost',
        metric LIKE '%.exported', 'sent',
        'processed') AS outcome,
    multiIf(
        outcome NOT IN ('lost', 'refused'), '',
        attributes['error.type'] != '', attributes['error.type'],
        metric LIKE 'otelcol_exporter_send_failed%', 'send_failed',
        metric LIKE 'otelcol_exporter_enqueue_failed%', 'enqueue_failed',
        metric LIKE 'otelcol_receiver_failed%', 'failed_inside',
        'refused_next') AS reason,
    toUInt64(sum(greatest(reached - before, 0))) AS records
FROM
(
    SELECT
        day, series, start_time, service_name, instance, metric, attributes, reached,
        lagInFrame(reached, 1, toFloat64(0)) OVER (
            PARTITION BY series, start_time ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
    FROM
    (
        SELECT
            toDate(ingest_time) AS day, series, start_time,
            any(path_metrics.service_name) AS service_name, any(path_metrics.instance) AS instance,
            any(path_metrics.metric) AS metric, any(path_metrics.attributes) AS attributes,
            if(any(is_increment), sum(value), max(value)) AS reached
        FROM path_metrics FINAL
        GROUP BY day, series, start_time
    )
)
GROUP BY day, hop, service_name, instance, component, source, outcome, reason
HAVING records > 0;
