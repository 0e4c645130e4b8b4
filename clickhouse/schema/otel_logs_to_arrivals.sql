CREATE MATERIALIZED VIEW otel_logs_to_arrivals TO arrivals
(
    `arrival_day` Date,
    `source` String,
    `service_name` LowCardinality(String),
    `arrived` UInt64
)
AS SELECT
    toDate(IngestTime) AS arrival_day,
    'logs' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_logs
GROUP BY
    arrival_day,
    source,
    service_name;
