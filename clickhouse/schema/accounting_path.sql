CREATE VIEW accounting_path
(
    `day` Date,
    `hop` String,
    `service_name` String,
    `instance` String,
    `component` String,
    `source` String,
    `outcome` String,
    `reason` String,
    `records` UInt64
)
AS SELECT
    day,
    if(startsWith(metric, 'otelcol_'), 'collector', 'sdk') AS hop,
    service_name,
    instance,
    multiIf((attributes['exporter']) != '', attributes['exporter'], (attributes['receiver']) != '', concat(attributes['receiver'], '/', attributes['transport']), (attributes['filter']) != '', attributes['filter'], attributes['otel.component.name']) AS component,
    if(position(metric, 'span') > 0, 'traces', 'logs') AS source,
    multiIf(metric LIKE 'otelcol_exporter_send_failed%', 'lost', metric LIKE 'otelcol_exporter_sent%', 'sent', metric LIKE 'otelcol_receiver_accepted%', 'received', metric LIKE 'otelcol_processor_filter%', 'filtered', startsWith(metric, 'otelcol_'), 'refused', (attributes['error.type']) != '', 'lost', metric LIKE '%.exported', 'sent', 'processed') AS outcome,
    multiIf((outcome NOT IN ('lost', 'refused')), '', (attributes['error.type']) != '', attributes['error.type'], metric LIKE 'otelcol_exporter_send_failed%', 'send_failed', metric LIKE 'otelcol_exporter_enqueue_failed%', 'enqueue_failed', metric LIKE 'otelcol_receiver_failed%', 'failed_inside', 'refused_next') AS reason,
    toUInt64(sum(greatest(reached - before, 0))) AS records
FROM
(
    SELECT
        day,
        series,
        start_time,
        service_name,
        instance,
        metric,
        attributes,
        reached,
        lagInFrame(reached, 1, toFloat64(0)) OVER (PARTITION BY series, start_time ORDER BY day ASC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
    FROM
    (
        SELECT
            toDate(ingest_time) AS day,
            series,
            start_time,
            any(path_metrics.service_name) AS service_name,
            any(path_metrics.instance) AS instance,
            any(path_metrics.metric) AS metric,
            any(path_metrics.attributes) AS attributes,
            if(any(is_increment), sum(value), max(value)) AS reached
        FROM path_metrics
        FINAL
        GROUP BY
            day,
            series,
            start_time
    )
)
GROUP BY
    day,
    hop,
    service_name,
    instance,
    component,
    source,
    outcome,
    reason
HAVING records > 0;
