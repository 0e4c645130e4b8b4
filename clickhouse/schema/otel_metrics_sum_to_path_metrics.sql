CREATE MATERIALIZED VIEW otel_metrics_sum_to_path_metrics TO path_metrics
(
    `service_name` LowCardinality(String),
    `instance` String,
    `metric` LowCardinality(String),
    `attributes` Map(LowCardinality(String), String),
    `start_time` DateTime64(9, 'UTC'),
    `time` DateTime64(9, 'UTC'),
    `value` Float64,
    `is_increment` UInt8
)
AS SELECT
    ServiceName AS service_name,
    ResourceAttributes['service.instance.id'] AS instance,
    MetricName AS metric,
    mapFilter((key, value) -> (key IN ('error.type', 'exporter', 'filter', 'otel.component.name', 'receiver', 'transport')), Attributes) AS attributes,
    StartTimeUnix AS start_time,
    TimeUnix AS time,
    Value AS value,
    AggregationTemporality = 1 AS is_increment
FROM otel_metrics_sum
WHERE isFinite(Value) AND (Value >= 0) AND (MetricName IN ('otel.sdk.processor.span.processed', 'otel.sdk.processor.log.processed', 'otel.sdk.exporter.span.exported', 'otel.sdk.exporter.log.exported', 'otelcol_receiver_accepted_spans', 'otelcol_receiver_accepted_log_records', 'otelcol_receiver_refused_spans', 'otelcol_receiver_refused_log_records', 'otelcol_receiver_failed_spans', 'otelcol_receiver_failed_log_records', 'otelcol_processor_filter_spans.filtered', 'otelcol_processor_filter_logs.filtered', 'otelcol_exporter_sent_spans', 'otelcol_exporter_sent_log_records', 'otelcol_exporter_send_failed_spans', 'otelcol_exporter_send_failed_log_records', 'otelcol_exporter_enqueue_failed_spans', 'otelcol_exporter_enqueue_failed_log_records'));
