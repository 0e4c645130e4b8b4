CREATE MATERIALIZED VIEW rejected_to_arrivals TO arrivals
(
    `arrival_day` Date,
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `refused` UInt64
)
AS SELECT
    toDate(ingest_time) AS arrival_day,
    source,
    service_name,
    count() AS refused
FROM rejected
GROUP BY
    arrival_day,
    source,
    service_name;
