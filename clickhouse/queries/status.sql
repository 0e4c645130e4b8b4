-- name: arrivals_changed_days
-- Days whose arrivals are not what they were when the day was last counted.
SELECT arrival_day
FROM
(
    SELECT arrival_day, source, service_name, arrived AS has_arrived, refused AS has_refused, toUInt64(0) AS had_arrived, toUInt64(0) AS had_refused
    FROM arrivals
    UNION ALL
    SELECT arrival_day, source, service_name, 0, 0, arrived, refused
    FROM arrivals_counted FINAL
)
GROUP BY arrival_day
HAVING sum(has_arrived) != sum(had_arrived) OR sum(has_refused) != sum(had_refused)
ORDER BY arrival_day;

-- name: arrivals_first_day
-- The first day that was ever counted; the epoch if none was.
SELECT min(arrival_day) AS first_day FROM arrivals_counted;

-- name: arrivals_days_before_counting
-- Days of arrival of the raw rows; read once, in a store that is older than its arrivals.
SELECT DISTINCT arrival_day
FROM
(
    SELECT toDate(IngestTime) AS arrival_day FROM otel_traces
    UNION ALL
    SELECT toDate(IngestTime) AS arrival_day FROM otel_logs
    UNION ALL
    SELECT toDate(ingest_time) AS arrival_day FROM rejected
)
ORDER BY arrival_day;

-- name: arrivals_of_day
-- What arrived on a day, by kind and service.
SELECT source, service_name, sum(arrived) AS arrived, sum(refused) AS refused
FROM arrivals
WHERE arrival_day = {day:Date}
GROUP BY source, service_name
ORDER BY source, service_name;

-- name: stored_traces
-- Different spans that had arrived by the end of until_day, of the event days that the arrivals of a day
-- have, and those whose time lies outside what makes a signal. What the day brought is the difference
-- between the day and the one before: a record counts on the day it first arrived. The partition is
-- named because FINAL looks past conditions on other columns: the copy of a later day would win.
SELECT
    ServiceName AS service_name,
    count() AS stored,
    countIf(NOT (Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY)) AS out_of_range
FROM otel_traces FINAL
WHERE _partition_id <= toString(toYYYYMMDD({until_day:Date})) AND toDate(toDateTime(Timestamp, 'UTC')) IN (
    SELECT toDate(toDateTime(Timestamp, 'UTC')) FROM otel_traces WHERE toDate(IngestTime) = {day:Date}
)
GROUP BY service_name
ORDER BY service_name;

-- name: stored_logs
-- The same of log records.
SELECT
    ServiceName AS service_name,
    count() AS stored,
    countIf(NOT (Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY)) AS out_of_range
FROM otel_logs FINAL
WHERE _partition_id <= toString(toYYYYMMDD({until_day:Date})) AND toDate(toDateTime(Timestamp, 'UTC')) IN (
    SELECT toDate(toDateTime(Timestamp, 'UTC')) FROM otel_logs WHERE toDate(IngestTime) = {day:Date}
)
GROUP BY service_name
ORDER BY service_name;

-- name: rejected_of_day
-- Records refused on a day and never before, by kind, service and reason.
SELECT source, service_name, reason, count() AS records
FROM rejected FINAL
WHERE toDate(ingest_time) = {day:Date} AND (source, reason, record_id) NOT IN (
    SELECT source, reason, record_id FROM rejected WHERE toDate(ingest_time) < {day:Date}
)
GROUP BY source, service_name, reason
ORDER BY source, service_name, reason;

-- name: accounting_totals
-- Everything that ever arrived, by kind.
SELECT
    source,
    '' AS service_name,
    sum(accounting.received) AS received,
    sum(accounting.stored) AS stored,
    sum(accounting.duplicated) AS duplicated,
    sum(accounting.rejected) AS rejected,
    sum(accounting.uncounted) AS uncounted,
    sum(accounting.out_of_range) AS out_of_range,
    sum(accounting.signals) AS signals,
    sum(accounting.without_user) AS without_user,
    sum(accounting.late) AS late,
    sum(accounting.unmapped) AS unmapped,
    sum(accounting.unknown_stage) AS unknown_stage,
    sum(accounting.sampled) AS sampled,
    sumMap(accounting.rejected_by_reason) AS rejected_by_reason
FROM accounting
GROUP BY source
ORDER BY source;

-- name: accounting_services
-- The same by service, those that sent most first.
SELECT
    source,
    service_name,
    sum(accounting.received) AS received,
    sum(accounting.stored) AS stored,
    sum(accounting.duplicated) AS duplicated,
    sum(accounting.rejected) AS rejected,
    sum(accounting.uncounted) AS uncounted,
    sum(accounting.out_of_range) AS out_of_range,
    sum(accounting.signals) AS signals,
    sum(accounting.without_user) AS without_user,
    sum(accounting.late) AS late,
    sum(accounting.unmapped) AS unmapped,
    sum(accounting.unknown_stage) AS unknown_stage,
    sum(accounting.sampled) AS sampled,
    sumMap(accounting.rejected_by_reason) AS rejected_by_reason
FROM accounting
GROUP BY source, service_name
ORDER BY received DESC, source, service_name
LIMIT {limit:UInt32};

-- name: accounting_hops
-- What the hops before the store did, over all days and instances; losses first.
SELECT hop, service_name, component, source, outcome, reason, sum(accounting_path.records) AS records
FROM accounting_path
GROUP BY hop, service_name, component, source, outcome, reason
ORDER BY outcome = 'lost' DESC, hop DESC, service_name, component, source, outcome, reason
LIMIT {limit:UInt32};

-- name: accounting_turned_away
-- Requests of which nothing was kept, and metrics that are not.
SELECT way, source, reason, sum(turned_away.requests) AS requests, sum(turned_away.records) AS records
FROM turned_away
GROUP BY way, source, reason
ORDER BY way, source, reason;

-- name: accounting_losses
-- Records that never reached the analysis, by service and by who lost them, as far as it was told on
-- days [first_day, end_day). What a Collector lost stands under its own name: whose it was it does not say.
SELECT service_name, source, hop, reason, sum(records) AS records
FROM
(
    SELECT service_name, source, hop, reason, records
    FROM accounting_path
    WHERE outcome = 'lost' AND day >= {first_day:Date} AND day < {end_day:Date}
    UNION ALL
    SELECT service_name, source, 'store' AS hop, why AS reason, rejected_by_reason[why] AS records
    FROM accounting
    ARRAY JOIN mapKeys(rejected_by_reason) AS why
    WHERE day >= {first_day:Date} AND day < {end_day:Date}
)
GROUP BY service_name, source, hop, reason
HAVING records > 0
ORDER BY service_name, source, hop, reason;

-- name: status_settled
-- What came of the signals of all settled days.
SELECT
    count() AS days,
    max(event_day) AS newest_day,
    sum(attempts) AS attempts,
    sum(failures) AS failures,
    sum(propagated) AS propagated,
    sum(without_user) AS without_user,
    sum(unmapped) AS unmapped,
    sum(unknown_stage) AS unknown_stage
FROM settled_days FINAL;

-- name: status_users
-- How many users were ever seen acting.
SELECT uniqExact(user_key) AS users FROM attempts_daily;
