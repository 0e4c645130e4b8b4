-- Services under stock instrumentations say some things in other words.
-- A route: the older HTTP conventions have the path in http.target, with its query.
-- A failure: the newer ones put the bare status into error.type even where an exception was recorded,
-- and "500" would make one failure of many; the older ones have no error.type, and the status says
-- more than nothing.
-- An ASGI server's spans for each message of a request ("POST /jobs http send") repeat the request's
-- own span, its failure included; they stay raw and make no signal.
ALTER TABLE otel_traces_to_signals MODIFY QUERY
WITH
    if(SpanAttributes['user.hash'] != '', SpanAttributes['user.hash'], ResourceAttributes['user.hash']) AS user_hash,
    if(SpanAttributes['mlp.stage'] != '', SpanAttributes['mlp.stage'], ResourceAttributes['mlp.stage']) AS said_stage,
    if(SpanAttributes['mlp.component'] != '', SpanAttributes['mlp.component'], ResourceAttributes['mlp.component']) AS said_component,
    multiIf(
        SpanAttributes['http.route'] != '', SpanAttributes['http.route'],
        SpanAttributes['url.path'] != '', SpanAttributes['url.path'],
        cutQueryString(SpanAttributes['http.target'])) AS route,
    if(said_stage != '', 0, dictGet('signal_map_match', 'rule_id',
        toLowCardinality(concat(ServiceName, '\n', SpanName, '\n', route)))) AS rule,
    dictGet('signal_map_rule', ('stage', 'component', 'action', 'action_kind', 'map_version'), toUInt64(rule)) AS mapped,
    if(SpanAttributes['error.type'] != '', SpanAttributes['error.type'], SpanAttributes['exception.type']) AS said_error,
    arrayFirst((attributes, name) -> name = 'exception', Events.Attributes, Events.Name)['exception.type'] AS recorded_error,
    if(SpanAttributes['http.response.status_code'] != '', SpanAttributes['http.response.status_code'],
        SpanAttributes['http.status_code']) AS http_status,
    extract(TraceState, '(?:^|,)ot=[^,]*th:([0-9a-f]{1,14})') AS threshold
SELECT
    sipHash128('span', TraceId, SpanId) AS signal_id,
    'span' AS source,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    Timestamp AS event_time,
    IngestTime AS ingest_time,
    toFixedString(if(match(user_hash, '^[0-9a-fA-F]{32}$'), unhex(substring(user_hash, 1, 32)), ''), 16) AS user_key,
    SpanAttributes['session.id'] AS session_id,
    ServiceName AS service_name,
    SpanKind AS span_kind,
    if(said_stage != '', said_stage, mapped.1) AS stage,
    multiIf(said_component != '', said_component, mapped.2 != '', mapped.2, ServiceName) AS component,
    multiIf(SpanAttributes['mlp.action'] != '', SpanAttributes['mlp.action'], mapped.3 != '', mapped.3, SpanName) AS action,
    multiIf(
        SpanAttributes['mlp.action.kind'] IN ('key', 'click', 'view'), SpanAttributes['mlp.action.kind'],
        mapped.4 IN ('key', 'click', 'view'), mapped.4,
        '') AS action_kind,
    if(SpanAttributes['mlp.time.kind'] IN ('on_component', 'load', 'session', 'wait'), SpanAttributes['mlp.time.kind'], '') AS time_kind,
    multiIf(
        StatusCode = 'Error', 'error',
        SpanAttributes['mlp.outcome'] IN ('ok', 'error', 'cancelled', 'unknown'), SpanAttributes['mlp.outcome'],
        'ok') AS outcome,
    multiIf(
        outcome != 'error', '',
        said_error != '' AND NOT match(said_error, '^[1-5][0-9]{2}$'), said_error,
        SpanAttributes['exception.type'] != '', SpanAttributes['exception.type'],
        recorded_error != '', recorded_error,
        said_error != '', said_error,
        match(http_status, '^[1-5][0-9]{2}$'), http_status,
        '_OTHER') AS error_type,
    -- A negative duration reaches us wrapped around; nothing real lasts 146 years.
    if(Duration < 4611686018427387904, Duration, 0) AS duration_ns,
    toUInt64(least(greatest(ifNull(toFloat64OrNull(SpanAttributes['mlp.wait.seconds']), 0), 0), 3155760000) * 1e9) AS wait_ns,
    SpanAttributes['mlp.action.digest'] AS digest,
    SpanAttributes['mlp.target.id'] AS target_id,
    rule AS map_rule,
    mapped.5 AS map_version,
    if(threshold = '', 1, 72057594037927936
        / (72057594037927936 - reinterpretAsUInt64(reverse(unhex(rightPad(threshold, 14, '0')))))) AS weight,
    mapFilter((key, value) -> key IN (
        'service.version', 'deployment.environment.name', 'vcs.ref.head.revision', 'mlp.team',
        'mlp.dataset.id', 'mlp.dataset.version', 'mlp.model.id', 'mlp.resource.class',
        'mlp.resource.limit.hit', 'user_agent.original'
    ), mapUpdate(ResourceAttributes, SpanAttributes)) AS facets
FROM otel_traces
WHERE Timestamp >= toDateTime64('2000-01-01 00:00:00', 9, 'UTC') AND Timestamp <= IngestTime + INTERVAL 1 DAY
    AND SpanAttributes['asgi.event.type'] = '';
