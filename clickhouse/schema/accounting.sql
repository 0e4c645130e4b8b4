CREATE VIEW accounting
(
    `day` Date,
    `source` LowCardinality(String),
    `service_name` LowCardinality(String),
    `received` UInt64,
    `stored` UInt64,
    `duplicated` UInt64,
    `rejected` UInt64,
    `uncounted` UInt64,
    `rejected_by_reason` Map(String, UInt64),
    `out_of_range` UInt64,
    `signals` UInt64,
    `without_user` UInt64,
    `late` UInt64,
    `unmapped` UInt64,
    `unknown_stage` UInt64,
    `sampled` UInt64
)
AS SELECT
    day,
    source,
    service_name,
    ((n_stored + n_again) + n_rejected) + n_new AS received,
    n_stored AS stored,
    n_again AS duplicated,
    n_rejected AS rejected,
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
        toUInt64(greatest(toInt64(sum(counted_arrived)) - toInt64(n_stored), 0) + greatest(toInt64(sum(counted_refused)) - toInt64(n_rejected), 0)) AS n_again,
        toUInt64(greatest(toInt64(sum(has_arrived)) - toInt64(sum(counted_arrived)), 0) + greatest(toInt64(sum(has_refused)) - toInt64(sum(counted_refused)), 0)) AS n_new,
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
            arrival_day AS day,
            source,
            service_name,
            arrived AS has_arrived,
            refused AS has_refused,
            toUInt64(0) AS counted_arrived,
            toUInt64(0) AS counted_refused,
            toUInt64(0) AS counted_stored,
            toUInt64(0) AS counted_rejected,
            CAST(map(), 'Map(LowCardinality(String), UInt64)') AS counted_reasons,
            toUInt64(0) AS counted_outside,
            toUInt64(0) AS settled_signals,
            toUInt64(0) AS settled_without_user,
            toUInt64(0) AS settled_late,
            toUInt64(0) AS settled_unmapped,
            toUInt64(0) AS settled_unknown_stage,
            toUInt64(0) AS settled_sampled
        FROM arrivals
        UNION ALL
        SELECT
            arrival_day,
            source,
            service_name,
            0,
            0,
            arrived,
            refused,
            stored,
            rejected,
            rejected_by_reason,
            out_of_range,
            0,
            0,
            0,
            0,
            0,
            0
        FROM arrivals_counted
        FINAL
        UNION ALL
        SELECT
            arrival_day,
            source,
            service_name,
            0,
            0,
            0,
            0,
            0,
            0,
            CAST(map(), 'Map(LowCardinality(String), UInt64)'),
            0,
            signals,
            without_user,
            late,
            unmapped,
            unknown_stage,
            sampled
        FROM services_daily
    )
    GROUP BY
        day,
        source,
        service_name
);
