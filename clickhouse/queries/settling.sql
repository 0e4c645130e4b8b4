-- name: settlement_last
-- Where the newest settling run stopped, and the fingerprint of what had arrived just before.
SELECT watermark, tail_signals, tail_hash
FROM settlements
ORDER BY settled_time DESC
LIMIT 1;

-- name: settlement_tail
-- Fingerprint of the signals that arrived in (after, until]; the hash does not depend on order.
SELECT
    count() AS signals,
    sum(cityHash64(signal_id, precedence)) AS hash
FROM signals
WHERE ingest_time > {after:DateTime64(3, 'UTC')} AND ingest_time <= {until:DateTime64(3, 'UTC')};

-- name: settlement_newest_arrival
-- When the newest signal arrived; the epoch if there is none.
SELECT max(ingest_time) AS newest FROM signals;

-- name: settlement_arrived_days
-- Event days of the signals that arrived in (after, until].
SELECT DISTINCT toDate(event_time, 'UTC') AS event_day
FROM signals
WHERE ingest_time > {after:DateTime64(3, 'UTC')} AND ingest_time <= {until:DateTime64(3, 'UTC')}
ORDER BY event_day;

-- name: settlement_reached_days
-- Which of some days hold signals of the traces that arrived in (after, until].
SELECT DISTINCT toDate(event_time, 'UTC') AS event_day
FROM signals
WHERE toDate(event_time, 'UTC') IN {days:Array(Date)} AND trace_id != '' AND trace_id IN (
    SELECT trace_id
    FROM signals
    WHERE ingest_time > {after:DateTime64(3, 'UTC')} AND ingest_time <= {until:DateTime64(3, 'UTC')}
)
ORDER BY event_day;

-- name: settlement_day_sizes
-- How many rows the signals of some days have, before duplicates are dropped.
SELECT
    toDate(event_time, 'UTC') AS event_day,
    count() AS signals
FROM signals
WHERE toDate(event_time, 'UTC') IN {days:Array(Date)}
GROUP BY event_day
ORDER BY event_day;

-- name: settle_signals
-- The signals of days [first_day, last_day] and of the traces that touch them (a trace may reach one
-- day to either side), each once, with the user its trace has where it has none of its own.
INSERT INTO settling_signals
    (event_day, event_time, ingest_time, signal_id, parent_id, source, trace_id, user_key, session_id, service_name,
    span_kind, stage, component, action, action_kind, outcome, error_type, duration_ns, wait_ns, digest, weight)
WITH
    near AS
    (
        SELECT
            signal_id, source, trace_id, parent_span_id, event_time, ingest_time, user_key, session_id, service_name,
            span_kind, stage, component, action, action_kind, outcome, error_type, duration_ns, wait_ns, digest, weight
        FROM signals FINAL
        WHERE toDate(event_time, 'UTC') >= {first_day:Date} - 1
            AND toDate(event_time, 'UTC') <= {last_day:Date} + 1
            AND ingest_time <= {known_at:DateTime64(3, 'UTC')}
    ),
    trace_users AS
    (
        SELECT
            trace_id,
            argMin(user_key, (event_time, signal_id)) AS trace_user
        FROM near
        WHERE trace_id != '' AND user_key != toFixedString('', 16)
        GROUP BY trace_id
    )
SELECT
    toDate(near.event_time, 'UTC') AS event_day,
    near.event_time,
    near.ingest_time,
    near.signal_id,
    if(near.parent_span_id = '', toFixedString('', 16), sipHash128('span', near.trace_id, near.parent_span_id)) AS parent_id,
    near.source,
    near.trace_id,
    if(near.user_key != toFixedString('', 16), near.user_key, trace_users.trace_user) AS user_key,
    near.session_id,
    near.service_name,
    near.span_kind,
    near.stage,
    near.component,
    near.action,
    near.action_kind,
    near.outcome,
    near.error_type,
    near.duration_ns,
    near.wait_ns,
    near.digest,
    near.weight
FROM near
LEFT JOIN trace_users ON trace_users.trace_id = near.trace_id
WHERE (toDate(near.event_time, 'UTC') >= {first_day:Date} AND toDate(near.event_time, 'UTC') <= {last_day:Date})
    OR (near.trace_id != '' AND near.trace_id IN (
        SELECT trace_id
        FROM signals
        WHERE toDate(event_time, 'UTC') >= {first_day:Date} AND toDate(event_time, 'UTC') <= {last_day:Date}
            AND ingest_time <= {known_at:DateTime64(3, 'UTC')}
    ));

-- name: settle_propagated
-- A failure counts where it started, at the deepest erring signal of its trace that has a stage. Erring
-- ancestors pass it on, and an error log inside an erring span repeats it. What has no stage counts
-- nowhere and so takes no failure away: stock instrumentations end a failing request with erring inner
-- spans (a call to a database, "POST /jobs http send"). Cycles end at a depth of 64.
INSERT INTO settling_propagated
WITH RECURSIVE
    echoes AS
    (
        SELECT signal_id
        FROM settling_signals
        WHERE source = 'log' AND outcome = 'error' AND parent_id IN (
            SELECT signal_id FROM settling_signals WHERE source = 'span' AND outcome = 'error' AND stage != ''
        )
    ),
    ancestors AS
    (
        SELECT DISTINCT
            parent_id AS id,
            toUInt8(1) AS depth
        FROM settling_signals
        WHERE outcome = 'error' AND stage != '' AND parent_id != toFixedString('', 16)
            AND signal_id NOT IN (SELECT signal_id FROM echoes)
        UNION ALL
        SELECT DISTINCT
            child.parent_id AS id,
            toUInt8(ancestors.depth + 1) AS depth
        FROM settling_signals AS child
        INNER JOIN ancestors ON child.signal_id = ancestors.id
        WHERE ancestors.depth < 64 AND child.parent_id != toFixedString('', 16)
    )
SELECT signal_id FROM echoes
UNION DISTINCT
SELECT id AS signal_id FROM ancestors;

-- name: settle_attempts_daily
-- An attempt is a key action, or the entry span of a component: a server's or consumer's, or one whose
-- parent is another service.
INSERT INTO settling_attempts_daily
WITH
    parents AS
    (
        SELECT signal_id, service_name
        FROM settling_signals
        WHERE source = 'span' AND signal_id IN (
            SELECT parent_id
            FROM settling_signals
            WHERE source = 'span' AND action_kind != 'key' AND span_kind NOT IN ('Server', 'Consumer')
                AND parent_id != toFixedString('', 16)
        )
    ),
    judged AS
    (
        SELECT
            child.event_day AS event_day, child.user_key AS user_key, child.stage AS stage, child.component AS component,
            child.action AS action, child.action_kind AS action_kind, child.outcome AS outcome,
            child.duration_ns AS duration_ns, child.wait_ns AS wait_ns,
            child.action_kind = 'key' OR (child.source = 'span' AND (
                child.span_kind IN ('Server', 'Consumer')
                OR (parents.service_name != '' AND parents.service_name != child.service_name)
            )) AS is_attempt
        FROM settling_signals AS child
        LEFT JOIN parents ON parents.signal_id = child.parent_id
        WHERE child.event_day >= {first_day:Date} AND child.event_day <= {last_day:Date}
            AND child.user_key != toFixedString('', 16) AND child.stage != ''
    )
SELECT
    event_day,
    user_key,
    stage,
    component,
    action,
    action_kind,
    count() AS events,
    countIf(is_attempt) AS attempts,
    countIf(is_attempt AND outcome = 'error') AS failed_attempts,
    countIf(is_attempt AND outcome = 'ok' AND judged.duration_ns > 0) AS completed,
    sumIf(toInt64(round(log(greatest(judged.duration_ns, 1) / 1e9) * 1e6)), is_attempt AND outcome = 'ok' AND judged.duration_ns > 0)
        AS completed_log_micros,
    sumIf(judged.duration_ns, is_attempt) AS duration_ns,
    sumIf(judged.duration_ns, is_attempt AND outcome = 'error') AS failed_ns,
    sumIf(judged.wait_ns, is_attempt) AS wait_ns
FROM judged
GROUP BY event_day, user_key, stage, component, action, action_kind
ORDER BY event_day, user_key, stage, component, action, action_kind;

-- name: settle_failures
-- Failures where they started.
INSERT INTO settling_failures
SELECT event_day, event_time, ingest_time, signal_id, trace_id, user_key, stage, component, action, error_type, duration_ns, weight
FROM settling_signals
WHERE event_day >= {first_day:Date} AND event_day <= {last_day:Date}
    AND outcome = 'error' AND user_key != toFixedString('', 16) AND stage != ''
    AND signal_id NOT IN (SELECT signal_id FROM settling_propagated)
ORDER BY event_day, stage, component, error_type, user_key, event_time, signal_id;

-- name: settle_repeats_daily
-- Key actions by what they were done with.
INSERT INTO settling_repeats_daily
SELECT
    event_day,
    user_key,
    stage,
    component,
    action,
    digest,
    count() AS times,
    sum(settling_signals.duration_ns) AS duration_ns
FROM settling_signals
WHERE event_day >= {first_day:Date} AND event_day <= {last_day:Date}
    AND action_kind = 'key' AND digest != '' AND user_key != toFixedString('', 16) AND stage != ''
GROUP BY event_day, user_key, stage, component, action, digest
ORDER BY event_day, stage, component, action, user_key, digest;

-- name: settle_sessions_daily
-- Sessions by day; one that passes midnight is joined again where it is read.
INSERT INTO settling_sessions_daily
SELECT
    event_day,
    user_key,
    session_id,
    min(event_time) AS first_time,
    max(addNanoseconds(event_time, toInt64(least(duration_ns, 86400000000000)))) AS last_time,
    count() AS events
FROM settling_signals
WHERE event_day >= {first_day:Date} AND event_day <= {last_day:Date}
    AND user_key != toFixedString('', 16) AND session_id != ''
GROUP BY event_day, user_key, session_id
ORDER BY event_day, user_key, session_id;

-- name: settle_services_daily
-- What each service's signals came to, by the day they arrived. Late is more than an hour after their
-- end: what is queued and sent again on a healthy path arrives within minutes.
INSERT INTO settling_services_daily
SELECT
    event_day,
    toDate(ingest_time) AS arrival_day,
    if(settling_signals.source = 'span', 'traces', 'logs') AS source,
    service_name,
    count() AS signals,
    countIf(user_key = toFixedString('', 16)) AS without_user,
    countIf(toUnixTimestamp64Milli(ingest_time) - toUnixTimestamp64Milli(event_time)
        - toInt64(intDiv(duration_ns, 1000000)) > 3600000) AS late,
    -- As in settle_days: a session begins and ends nowhere in particular.
    countIf(stage = '' AND action NOT IN ('session.start', 'session.end')) AS unmapped,
    countIf(stage != '' AND stage NOT IN {stages:Array(String)}) AS unknown_stage,
    countIf(weight != 1) AS sampled
FROM settling_signals
WHERE event_day >= {first_day:Date} AND event_day <= {last_day:Date}
GROUP BY event_day, arrival_day, source, service_name
ORDER BY event_day, arrival_day, source, service_name;

-- name: settle_days
-- What came of the signals of each settled day.
INSERT INTO settled_days
    (event_day, settled_time, known_at, signals, attempts, failures, propagated, without_user, unmapped, unknown_stage)
WITH
    attempts AS (SELECT event_day, sum(attempts) AS attempts FROM settling_attempts_daily GROUP BY event_day),
    failures AS (SELECT event_day, count() AS failures FROM settling_failures GROUP BY event_day)
SELECT
    settling_signals.event_day AS event_day,
    {settled_time:DateTime64(3, 'UTC')} AS settled_time,
    {known_at:DateTime64(3, 'UTC')} AS known_at,
    count() AS signals,
    any(attempts.attempts) AS attempts,
    any(failures.failures) AS failures,
    countIf(outcome = 'error' AND signal_id IN (SELECT signal_id FROM settling_propagated)) AS propagated,
    countIf(user_key = toFixedString('', 16)) AS without_user,
    -- A session begins and ends nowhere in particular.
    countIf(stage = '' AND action NOT IN ('session.start', 'session.end')) AS unmapped,
    countIf(stage != '' AND stage NOT IN {stages:Array(String)}) AS unknown_stage
FROM settling_signals
LEFT JOIN attempts ON attempts.event_day = settling_signals.event_day
LEFT JOIN failures ON failures.event_day = settling_signals.event_day
WHERE settling_signals.event_day >= {first_day:Date} AND settling_signals.event_day <= {last_day:Date}
GROUP BY event_day
ORDER BY event_day;

-- name: settlement_record
-- Ends a settling run.
INSERT INTO settlements (settled_time, watermark, tail_signals, tail_hash, days, signals, duration_ms)
SELECT
    {settled_time:DateTime64(3, 'UTC')},
    {watermark:DateTime64(3, 'UTC')},
    {tail_signals:UInt64},
    {tail_hash:UInt64},
    {days:UInt64},
    {signals:UInt64},
    {duration_ms:UInt64};
