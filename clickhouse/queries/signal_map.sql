-- name: signal_map_rows
-- The map, removed rows included.
SELECT
    rule_id, priority, pattern, stage, component, action, action_kind, source, example, counter_example, origin
FROM signal_map FINAL
ORDER BY priority, rule_id;

-- name: signal_map_version
-- Version of the map; 0 while it is empty.
SELECT max(map_version) AS version FROM signal_map;

-- name: signal_map_compiles
-- Fails if one of some patterns is no regular expression.
SELECT sum(match('-', concat('(?-s)', pattern))) AS matches
FROM (SELECT arrayJoin({patterns:Array(String)}) AS pattern);

-- name: signal_map_matching
-- For each text the rules that match it, in the order the rules are given.
SELECT
    number,
    arrayFilter((rule, pattern) -> match(text, concat('(?-s)', pattern)), {numbers:Array(UInt32)}, {patterns:Array(String)}) AS rules
FROM
(
    SELECT arrayJoin(arrayEnumerate({texts:Array(String)})) AS number, arrayElement({texts:Array(String)}, number) AS text
)
ORDER BY number;

-- name: signal_map_winner
-- What the dictionaries the views use make of some texts.
SELECT
    number,
    dictGet('signal_map_match', 'rule_id', toLowCardinality(arrayElement({texts:Array(String)}, number))) AS rule,
    dictGet('signal_map_rule', 'stage', toUInt64(rule)) AS stage,
    dictGet('signal_map_rule', 'component', toUInt64(rule)) AS component,
    dictGet('signal_map_rule', 'action', toUInt64(rule)) AS action,
    dictGet('signal_map_rule', 'action_kind', toUInt64(rule)) AS action_kind
FROM (SELECT arrayJoin(arrayEnumerate({texts:Array(String)})) AS number)
ORDER BY number;

-- name: signal_map_loaded_version
-- Version of the map in the dictionaries.
SELECT max(dictGet('signal_map_rule', 'map_version', toUInt64(0))) AS version;

-- name: derivation_arrivals
-- How many raw rows arrived in [window_start, window_end) on each UTC day, by table.
SELECT source, toDate(arrived, 'UTC') AS day, count() AS records
FROM
(
    SELECT 'otel_traces' AS source, IngestTime AS arrived FROM otel_traces
    WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
    UNION ALL
    SELECT 'otel_logs' AS source, IngestTime AS arrived FROM otel_logs
    WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
)
GROUP BY source, day
ORDER BY day, source;

-- name: derivation_arrivals_otel_traces
-- How many spans arrived in [window_start, window_end) in each second.
SELECT toDateTime(IngestTime, 'UTC') AS second, count() AS records
FROM otel_traces
WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
GROUP BY second
ORDER BY second;

-- name: derivation_arrivals_otel_logs
-- How many log records arrived in [window_start, window_end) in each second.
SELECT toDateTime(IngestTime, 'UTC') AS second, count() AS records
FROM otel_logs
WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
GROUP BY second
ORDER BY second;

-- name: derivation_view
-- The SELECT of a materialized view, as the engine keeps it.
SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String} ORDER BY name;

-- name: derivation_differences
-- How the signals that a slice of raw rows makes differ from those in force, by event day. `derived`
-- is the caller's: the view's own SELECT over the slice.
WITH
    kept AS
    (
        SELECT
            signal_id, event_time, user_key,
            argMax((stage, component, action, action_kind, map_rule), precedence) AS said
        FROM signals
        WHERE toDate(event_time, 'UTC') IN (SELECT toDate(event_time, 'UTC') FROM derived)
            AND signal_id IN (SELECT signal_id FROM derived)
        GROUP BY signal_id, event_time, user_key
    ),
    compared AS
    (
        SELECT
            derived.signal_id AS signal_id,
            toDate(derived.event_time, 'UTC') AS event_day,
            kept.signal_id = toFixedString('', 16) AS missing,
            NOT missing AND derived.stage != kept.said.1 AS other_stage,
            NOT missing AND derived.component != kept.said.2 AS other_component,
            NOT missing AND derived.action != kept.said.3 AS other_action,
            NOT missing AND derived.action_kind != kept.said.4 AS other_kind,
            missing OR other_stage OR other_component OR other_action OR other_kind
                OR derived.map_rule != kept.said.5 AS differs
        FROM derived
        LEFT JOIN kept ON kept.signal_id = derived.signal_id AND kept.event_time = derived.event_time
            AND kept.user_key = derived.user_key
    )
SELECT
    event_day,
    count() AS records,
    uniqExactIf(signal_id, differs) AS signals,
    uniqExactIf(signal_id, other_stage) AS stage,
    uniqExactIf(signal_id, other_component) AS component,
    uniqExactIf(signal_id, other_action) AS action,
    uniqExactIf(signal_id, other_kind) AS action_kind,
    uniqExactIf(signal_id, missing) AS missing_signals
FROM compared
GROUP BY event_day
ORDER BY event_day;

-- name: derivation_write
-- Write those that differ again: under the map in force, and with the arrival of the first copy.
INSERT INTO signals
    (signal_id, source, trace_id, span_id, parent_span_id, event_time, ingest_time, user_key, session_id, service_name,
    span_kind, stage, component, action, action_kind, time_kind, outcome, error_type, duration_ns, wait_ns, digest,
    target_id, map_rule, map_version, derived_version, derived_time, weight, facets)
WITH
    kept AS
    (
        SELECT
            signal_id, event_time, user_key,
            argMax((stage, component, action, action_kind, map_rule, ingest_time), precedence) AS said
        FROM signals
        WHERE toDate(event_time, 'UTC') IN (SELECT toDate(event_time, 'UTC') FROM derived)
            AND signal_id IN (SELECT signal_id FROM derived)
        GROUP BY signal_id, event_time, user_key
    )
SELECT
    derived.signal_id, derived.source, derived.trace_id, derived.span_id, derived.parent_span_id, derived.event_time,
    if(kept.signal_id = toFixedString('', 16), derived.ingest_time, least(derived.ingest_time, kept.said.6)) AS ingest_time,
    derived.user_key, derived.session_id, derived.service_name, derived.span_kind, derived.stage, derived.component,
    derived.action, derived.action_kind, derived.time_kind, derived.outcome, derived.error_type, derived.duration_ns,
    derived.wait_ns, derived.digest, derived.target_id, derived.map_rule, derived.map_version,
    derived.map_version AS derived_version, {derived_time:DateTime64(3, 'UTC')} AS derived_time,
    derived.weight, derived.facets
FROM derived
LEFT JOIN kept ON kept.signal_id = derived.signal_id AND kept.event_time = derived.event_time
    AND kept.user_key = derived.user_key
WHERE kept.signal_id = toFixedString('', 16)
    OR (derived.stage, derived.component, derived.action, derived.action_kind, derived.map_rule)
        != (kept.said.1, kept.said.2, kept.said.3, kept.said.4, kept.said.5);

-- name: derivation_unsettled_days
-- Event days whose signals, of those that arrived in [window_start, window_end), were derived again
-- since the day was last settled: also what a run that broke off left behind.
SELECT derived_days.event_day AS event_day
FROM
(
    SELECT toDate(event_time, 'UTC') AS event_day, max(derived_time) AS newest
    FROM signals
    WHERE derived_version > 0
        AND ingest_time >= {window_start:DateTime64(3, 'UTC')} AND ingest_time < {window_end:DateTime64(3, 'UTC')}
    GROUP BY event_day
) AS derived_days
LEFT JOIN (SELECT event_day, settled_time FROM settled_days FINAL) AS settled ON settled.event_day = derived_days.event_day
WHERE derived_days.newest >= settled.settled_time
ORDER BY event_day;

-- name: signal_map_unmapped
-- Names that no rule gives a stage, of what arrived in [window_start, window_end), the most frequent
-- first; `inner` counts spans inside a component too. Ids and user names in paths are taken out.
WITH
    arrayStringConcat(arrayMap(
        part -> if(match(part, '^[0-9]+$|^[0-9a-fA-F-]{8,}$|@|%40'), '{id}', part), splitByChar('/', said_name)), '/') AS shown_name,
    arrayStringConcat(arrayMap(
        part -> if(match(part, '^[0-9]+$|^[0-9a-fA-F-]{8,}$|@|%40'), '{id}', part), splitByChar('/', said_route)), '/') AS shown_route
SELECT
    source,
    service,
    replaceRegexpAll(shown_name, '/(users?)/[^/]+', '/\\1/{name}') AS name,
    replaceRegexpAll(shown_route, '/(users?)/[^/]+', '/\\1/{name}') AS route,
    count() AS records,
    countIf(has_user) AS with_user,
    min(happened) AS first_time,
    max(happened) AS last_time
FROM
(
    SELECT
        'traces' AS source, ServiceName AS service, SpanName AS said_name, Timestamp AS happened,
        if(SpanAttributes['http.route'] != '', SpanAttributes['http.route'], SpanAttributes['url.path']) AS said_route,
        SpanAttributes['user.hash'] != '' OR ResourceAttributes['user.hash'] != '' AS has_user
    FROM otel_traces
    WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
        AND Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
        AND SpanAttributes['mlp.stage'] = '' AND ResourceAttributes['mlp.stage'] = ''
        AND ({inner:UInt8} = 1 OR ParentSpanId = '' OR SpanKind IN ('Server', 'Consumer'))
        AND dictGet('signal_map_match', 'rule_id', toLowCardinality(concat(ServiceName, '\n', SpanName, '\n', said_route))) = 0
    UNION ALL
    SELECT
        'logs' AS source, ServiceName AS service, EventName AS said_name, Timestamp AS happened,
        if(LogAttributes['http.route'] != '', LogAttributes['http.route'], LogAttributes['url.path']) AS said_route,
        LogAttributes['user.hash'] != '' OR ResourceAttributes['user.hash'] != '' AS has_user
    FROM otel_logs
    WHERE IngestTime >= {window_start:DateTime64(3, 'UTC')} AND IngestTime < {window_end:DateTime64(3, 'UTC')}
        AND Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
        AND LogAttributes['mlp.stage'] = '' AND ResourceAttributes['mlp.stage'] = ''
        AND EventName NOT IN ('', 'session.start', 'session.end')
        AND dictGet('signal_map_match', 'rule_id', toLowCardinality(concat(ServiceName, '\n', EventName, '\n', said_route))) = 0
)
GROUP BY source, service, name, route
ORDER BY records DESC, service, name, route, source
LIMIT {limit:UInt32};
