CREATE MATERIALIZED VIEW otel_traces_to_arrivals TO arrivals
(
    `arrival_day` Date,
    `source` String,
    `service_name` LowCardinality(String),
    `arrived` UInt64
)
AS SELECT
    toDate(IngestTime) AS arrival_day,
    'traces' AS source,
    ServiceName AS service_name,
    count() AS arrived
FROM otel_traces
GROUP BY
    arrival_day,
    source,
    service_name;
