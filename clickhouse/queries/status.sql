-- name: status_traces
-- Spans stored, and those whose time lies outside what makes a signal.
SELECT
    count() AS stored,
    countIf(NOT (Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY)) AS out_of_range
FROM otel_traces FINAL;

-- name: status_logs
-- Log records stored, and those whose time lies outside what makes a signal.
SELECT
    count() AS stored,
    countIf(NOT (Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY)) AS out_of_range
FROM otel_logs FINAL;

-- name: status_signals
-- Signals by what carried them.
SELECT source, count() AS signals
FROM signals FINAL
GROUP BY source
ORDER BY source;

-- name: status_rejected
-- What could not be stored, by source and reason.
SELECT source, reason, count() AS records
FROM rejected FINAL
GROUP BY source, reason
ORDER BY source, reason;

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
