-- name: newest_settled_day
-- The newest day with signals that could be placed.
SELECT max(event_day) AS event_day
FROM settled_days FINAL
WHERE signals > without_user;

-- name: user_activity
-- What each user did in a window, from action and time signals only. A completion time counts against
-- the mean over users of the same action (all in millionths of natural logarithms, so sums are exact).
WITH
    done AS
    (
        SELECT
            user_key, stage, component, action, action_kind,
            sum(events) AS events,
            sum(completed) AS completed,
            sum(completed_log_micros) AS log_micros
        FROM attempts_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY user_key, stage, component, action, action_kind
    ),
    peers AS
    (
        SELECT
            stage, component, action,
            intDiv(sum(intDiv(log_micros, toInt64(completed))), toInt64(count())) AS peer_micros
        FROM done
        WHERE action_kind = 'key' AND completed > 0
        GROUP BY stage, component, action
    ),
    speed AS
    (
        SELECT
            done.user_key AS user_key,
            sum(done.completed) AS completed,
            sum(done.log_micros - toInt64(done.completed) * peers.peer_micros) AS excess_micros
        FROM done
        INNER JOIN peers ON peers.stage = done.stage AND peers.component = done.component AND peers.action = done.action
        WHERE done.action_kind = 'key' AND done.completed > 0
        GROUP BY done.user_key
    ),
    volume AS
    (
        SELECT
            user_key,
            sumIf(events, action_kind != '') AS actions,
            sumIf(events, action_kind = 'key') AS key_actions,
            sumIf(events, action_kind = 'click') AS clicks,
            sumIf(events, action_kind = 'view') AS views,
            countIf(action_kind = 'key') AS distinct_key_actions
        FROM done
        GROUP BY user_key
    ),
    days AS
    (
        SELECT
            user_key,
            uniqExact(event_day) AS active_days,
            uniqExact(toMonday(event_day)) AS active_weeks
        FROM attempts_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date} AND action_kind != ''
        GROUP BY user_key
    ),
    visits AS
    (
        SELECT user_key, count() AS sessions, sum(nanoseconds) AS nanoseconds
        FROM
        (
            SELECT
                user_key,
                session_id,
                toUnixTimestamp64Nano(max(last_time)) - toUnixTimestamp64Nano(min(first_time)) AS nanoseconds
            FROM sessions_daily
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            GROUP BY user_key, session_id
        )
        GROUP BY user_key
    )
SELECT
    lower(hex(volume.user_key)) AS user,
    volume.actions AS actions,
    volume.key_actions AS key_actions,
    volume.clicks AS clicks,
    volume.views AS views,
    volume.distinct_key_actions AS distinct_key_actions,
    days.active_days AS active_days,
    days.active_weeks AS active_weeks,
    visits.sessions AS sessions,
    if(visits.sessions = 0, 0, visits.nanoseconds / visits.sessions / 6e10) AS session_minutes,
    speed.completed AS completed,
    if(speed.completed = 0, 0, speed.excess_micros / speed.completed / 1e6) AS relative_log_duration
FROM volume
LEFT JOIN days ON days.user_key = volume.user_key
LEFT JOIN visits ON visits.user_key = volume.user_key
LEFT JOIN speed ON speed.user_key = volume.user_key
ORDER BY volume.user_key;

-- name: user_weeks
-- What each user did in each block of seven days counted back from the end of a span, from action and
-- time signals only; the newest block is 0. Completion times count against the mean over users of the
-- same action in the whole span. -1 where nothing was completed, or there was no session.
WITH
    done AS
    (
        SELECT
            user_key, stage, component, action, action_kind,
            intDiv(toUInt32({end_day:Date}) - toUInt32(event_day) - 1, 7) AS block,
            sum(events) AS events,
            sum(completed) AS completed,
            sum(completed_log_micros) AS log_micros
        FROM attempts_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date} AND action_kind != ''
        GROUP BY user_key, stage, component, action, action_kind, block
    ),
    timed AS
    (
        SELECT
            user_key, stage, component, action,
            intDiv(sum(log_micros), toInt64(sum(completed))) AS own_micros
        FROM done
        WHERE action_kind = 'key' AND completed > 0
        GROUP BY user_key, stage, component, action
    ),
    peers AS
    (
        SELECT stage, component, action, intDiv(sum(own_micros), toInt64(count())) AS peer_micros
        FROM timed
        GROUP BY stage, component, action
    ),
    speed AS
    (
        SELECT
            done.user_key AS user_key,
            done.block AS block,
            sum(done.completed) AS completed,
            sum(done.log_micros - toInt64(done.completed) * peers.peer_micros) AS excess_micros
        FROM done
        INNER JOIN peers ON peers.stage = done.stage AND peers.component = done.component AND peers.action = done.action
        WHERE done.action_kind = 'key' AND done.completed > 0
        GROUP BY user_key, block
    ),
    volume AS
    (
        SELECT user_key, block, sum(events) AS actions, countIf(action_kind = 'key') AS distinct_actions
        FROM done
        GROUP BY user_key, block
    ),
    visits AS
    (
        SELECT user_key, block, count() AS sessions, sum(nanoseconds) AS nanoseconds
        FROM
        (
            SELECT
                user_key,
                session_id,
                intDiv(toUInt32({end_day:Date}) - toUInt32(min(event_day)) - 1, 7) AS block,
                toUnixTimestamp64Nano(max(last_time)) - toUnixTimestamp64Nano(min(first_time)) AS nanoseconds
            FROM sessions_daily
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            GROUP BY user_key, session_id
        )
        GROUP BY user_key, block
    )
SELECT
    lower(hex(volume.user_key)) AS user,
    volume.block AS block,
    volume.actions AS actions,
    volume.distinct_actions AS distinct_actions,
    if(speed.completed = 0, -1, exp(speed.excess_micros / speed.completed / 1e6)) AS relative_duration,
    if(visits.sessions = 0, -1, visits.nanoseconds / visits.sessions / 6e10) AS minutes_per_session
FROM volume
LEFT JOIN speed ON speed.user_key = volume.user_key AND speed.block = volume.block
LEFT JOIN visits ON visits.user_key = volume.user_key AND visits.block = volume.block
ORDER BY volume.user_key, volume.block;

-- name: error_counts
-- Per error signal and segment: users who saw it at least once, and users who used the component.
WITH
    rated AS
    (
        SELECT user_key, segment
        FROM user_segments FINAL
        WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
    ),
    affected AS
    (
        SELECT
            stage, component, error_type,
            uniqExactIf(failures.user_key, segment = 'expert') AS expert_k,
            uniqExactIf(failures.user_key, segment = 'intermediate') AS intermediate_k,
            uniqExactIf(failures.user_key, segment = 'beginner') AS beginner_k
        FROM failures
        INNER JOIN rated ON rated.user_key = failures.user_key
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY stage, component, error_type
    ),
    exposed AS
    (
        SELECT
            stage, component,
            uniqExactIf(attempts_daily.user_key, segment = 'expert') AS expert_n,
            uniqExactIf(attempts_daily.user_key, segment = 'intermediate') AS intermediate_n,
            uniqExactIf(attempts_daily.user_key, segment = 'beginner') AS beginner_n
        FROM attempts_daily
        INNER JOIN rated ON rated.user_key = attempts_daily.user_key
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY stage, component
    )
SELECT
    affected.stage AS stage,
    affected.component AS component,
    affected.error_type AS signal,
    affected.expert_k AS expert_k,
    affected.intermediate_k AS intermediate_k,
    affected.beginner_k AS beginner_k,
    exposed.expert_n AS expert_n,
    exposed.intermediate_n AS intermediate_n,
    exposed.beginner_n AS beginner_n
FROM affected
LEFT JOIN exposed ON exposed.stage = affected.stage AND exposed.component = affected.component
ORDER BY stage, component, signal;

-- name: error_attempts
-- Per error signal and segment: how many users attempted so often and failed so often. Attempts are those
-- of the actions in which the error was seen; where it was only seen inside of attempts, those of its
-- component. A failure counts as one attempt that failed; who failed without a known one made at least that.
WITH
    rated AS
    (
        SELECT user_key, segment
        FROM user_segments FINAL
        WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
    ),
    failing AS
    (
        SELECT DISTINCT stage, component, error_type, action
        FROM failures
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
    ),
    tried_actions AS
    (
        SELECT
            failing.stage AS stage, failing.component AS component, failing.error_type AS error_type,
            attempts_daily.user_key AS user_key, sum(attempts_daily.attempts) AS attempts
        FROM attempts_daily
        INNER JOIN failing ON failing.stage = attempts_daily.stage AND failing.component = attempts_daily.component
            AND failing.action = attempts_daily.action
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY stage, component, error_type, user_key
        HAVING attempts > 0
    ),
    inner_errors AS
    (
        SELECT DISTINCT stage, component, error_type
        FROM failing
        WHERE (stage, component, error_type) NOT IN (SELECT stage, component, error_type FROM tried_actions)
    ),
    tried AS
    (
        SELECT stage, component, error_type, user_key, attempts FROM tried_actions
        UNION ALL
        SELECT
            inner_errors.stage AS stage, inner_errors.component AS component, inner_errors.error_type AS error_type,
            attempts_daily.user_key AS user_key, sum(attempts_daily.attempts) AS attempts
        FROM attempts_daily
        INNER JOIN inner_errors ON inner_errors.stage = attempts_daily.stage
            AND inner_errors.component = attempts_daily.component
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY stage, component, error_type, user_key
        HAVING attempts > 0
    ),
    failed AS
    (
        SELECT stage, component, error_type, user_key, count() AS failures
        FROM failures
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY stage, component, error_type, user_key
    ),
    hit AS
    (
        SELECT
            failed.stage AS stage, failed.component AS component, failed.error_type AS error_type,
            rated.segment AS segment, tried.attempts AS attempts, failed.failures AS failures, count() AS users
        FROM failed
        INNER JOIN rated ON rated.user_key = failed.user_key
        LEFT JOIN tried ON tried.stage = failed.stage AND tried.component = failed.component
            AND tried.error_type = failed.error_type AND tried.user_key = failed.user_key
        GROUP BY stage, component, error_type, segment, attempts, failures
    ),
    everybody AS
    (
        SELECT stage, component, error_type, rated.segment AS segment, attempts, count() AS users
        FROM tried
        INNER JOIN rated ON rated.user_key = tried.user_key
        GROUP BY stage, component, error_type, segment, attempts
    ),
    cells AS
    (
        SELECT
            stage, component, error_type, segment,
            greatest(attempts, 1) AS attempts, least(failures, greatest(attempts, 1)) AS failures, users
        FROM hit
        UNION ALL
        SELECT
            everybody.stage AS stage, everybody.component AS component, everybody.error_type AS error_type,
            everybody.segment AS segment, everybody.attempts AS attempts, toUInt64(0) AS failures,
            toUInt64(everybody.users - had.users) AS users
        FROM everybody
        LEFT JOIN
        (
            SELECT stage, component, error_type, segment, attempts, sum(users) AS users
            FROM hit
            GROUP BY stage, component, error_type, segment, attempts
        ) AS had
            ON had.stage = everybody.stage AND had.component = everybody.component
            AND had.error_type = everybody.error_type AND had.segment = everybody.segment
            AND had.attempts = everybody.attempts
        WHERE everybody.users > had.users
            AND (everybody.stage, everybody.component, everybody.error_type) IN (SELECT stage, component, error_type FROM hit)
    )
SELECT stage, component, error_type AS signal, segment, attempts, failures, sum(users) AS users
FROM cells
GROUP BY stage, component, signal, segment, attempts, failures
ORDER BY stage, component, signal, segment, attempts, failures;

-- name: redundancy_counts
-- Per action, calendar period and segment: users who did the same thing more than `limit` times in the
-- period (as far as it lies in the window), and users who did the action at all.
WITH
    rated AS
    (
        SELECT user_key, segment
        FROM user_segments FINAL
        WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
    ),
    done AS
    (
        SELECT
            period, period_start, user_key, stage, component, action, digest,
            sum(times) AS times
        FROM
        (
            SELECT 'week' AS period, toMonday(event_day) AS period_start, user_key, stage, component, action, digest, times
            FROM repeats_daily
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            UNION ALL
            SELECT 'month' AS period, toStartOfMonth(event_day) AS period_start, user_key, stage, component, action, digest, times
            FROM repeats_daily
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        )
        GROUP BY period, period_start, user_key, stage, component, action, digest
        HAVING times > {limit:UInt64}
    ),
    affected AS
    (
        SELECT
            period, period_start, stage, component, action,
            uniqExactIf(done.user_key, segment = 'expert') AS expert_k,
            uniqExactIf(done.user_key, segment = 'intermediate') AS intermediate_k,
            uniqExactIf(done.user_key, segment = 'beginner') AS beginner_k
        FROM done
        INNER JOIN rated ON rated.user_key = done.user_key
        GROUP BY period, period_start, stage, component, action
    ),
    exposed AS
    (
        SELECT
            period, period_start, stage, component, action,
            uniqExactIf(attempts.user_key, segment = 'expert') AS expert_n,
            uniqExactIf(attempts.user_key, segment = 'intermediate') AS intermediate_n,
            uniqExactIf(attempts.user_key, segment = 'beginner') AS beginner_n
        FROM
        (
            SELECT
                if(period_number = 1, 'week', 'month') AS period,
                if(period_number = 1, toMonday(event_day), toStartOfMonth(event_day)) AS period_start,
                user_key, stage, component, action
            FROM attempts_daily
            ARRAY JOIN [1, 2] AS period_number
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date} AND action_kind = 'key'
                AND (stage, component, action) IN (SELECT stage, component, action FROM affected)
        ) AS attempts
        INNER JOIN rated ON rated.user_key = attempts.user_key
        GROUP BY period, period_start, stage, component, action
    )
SELECT
    affected.period AS period,
    affected.period_start AS period_start,
    affected.stage AS stage,
    affected.component AS component,
    affected.action AS signal,
    affected.expert_k AS expert_k,
    affected.intermediate_k AS intermediate_k,
    affected.beginner_k AS beginner_k,
    exposed.expert_n AS expert_n,
    exposed.intermediate_n AS intermediate_n,
    exposed.beginner_n AS beginner_n
FROM affected
LEFT JOIN exposed ON exposed.period = affected.period AND exposed.period_start = affected.period_start
    AND exposed.stage = affected.stage AND exposed.component = affected.component AND exposed.action = affected.action
ORDER BY stage, component, signal, period, period_start;

-- name: affected_users
-- Users held up by each challenge of an analysis and the time it cost each: failed work, plus repeats
-- beyond the first, plus waiting at the component beyond the experts' median (shared evenly among the
-- challenges that hold the user up there).
WITH
    open AS
    (
        SELECT
            row.1 AS challenge_id, row.2 AS signal_kind, row.3 AS stage, row.4 AS component, row.5 AS signal
        FROM
        (
            SELECT arrayJoin(arrayZip(
                {challenge_ids:Array(String)}, {signal_kinds:Array(String)}, {stages:Array(String)},
                {components:Array(String)}, {signals:Array(String)}
            )) AS row
        )
    ),
    rated AS
    (
        SELECT user_key, segment
        FROM user_segments FINAL
        WHERE analysis_id = {analysis_id:String}
    ),
    by_error AS
    (
        SELECT open.challenge_id AS challenge_id, failures.user_key AS user_key, sum(failures.duration_ns) AS lost_ns
        FROM failures
        INNER JOIN open ON open.stage = failures.stage AND open.component = failures.component
            AND open.signal = toString(failures.error_type)
        WHERE open.signal_kind = 'error' AND event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY challenge_id, user_key
    ),
    repeated AS
    (
        SELECT period, user_key, stage, component, action, digest, sum(times) AS times, sum(nanoseconds) AS nanoseconds
        FROM
        (
            SELECT
                if(period_number = 1, toMonday(event_day), toStartOfMonth(event_day)) AS period_start,
                if(period_number = 1, 'week', 'month') AS period,
                user_key, stage, component, action, digest, times, duration_ns AS nanoseconds
            FROM repeats_daily
            ARRAY JOIN [1, 2] AS period_number
            WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
                AND (stage, component, action) IN (SELECT stage, component, signal FROM open WHERE signal_kind = 'redundancy')
        )
        GROUP BY period, period_start, user_key, stage, component, action, digest
        HAVING times > {limit:UInt64}
    ),
    by_redundancy AS
    (
        SELECT challenge_id, user_key, max(lost_ns) AS lost_ns
        FROM
        (
            SELECT
                open.challenge_id AS challenge_id,
                repeated.period AS period,
                repeated.user_key AS user_key,
                sum(intDiv(repeated.nanoseconds * (repeated.times - 1), repeated.times)) AS lost_ns
            FROM repeated
            INNER JOIN open ON open.stage = repeated.stage AND open.component = repeated.component
                AND open.signal = toString(repeated.action)
            WHERE open.signal_kind = 'redundancy'
            GROUP BY challenge_id, period, user_key
        )
        GROUP BY challenge_id, user_key
    ),
    affected AS
    (
        SELECT challenge_id, user_key, lost_ns FROM by_error
        UNION ALL
        SELECT challenge_id, user_key, lost_ns FROM by_redundancy
    ),
    waits AS
    (
        SELECT user_key, stage, component, sum(wait_ns) AS wait_ns, sum(attempts) AS attempts
        FROM attempts_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY user_key, stage, component
        HAVING wait_ns > 0
    ),
    expert_waits AS
    (
        SELECT stage, component, quantileExact(0.5)(intDiv(waits.wait_ns, greatest(waits.attempts, 1))) AS median_ns
        FROM waits
        INNER JOIN rated ON rated.user_key = waits.user_key
        WHERE segment = 'expert'
        GROUP BY stage, component
    ),
    excess AS
    (
        SELECT
            waits.user_key AS user_key, waits.stage AS stage, waits.component AS component,
            greatest(toInt64(waits.wait_ns) - toInt64(expert_waits.median_ns * waits.attempts), 0) AS excess_ns
        FROM waits
        INNER JOIN expert_waits ON expert_waits.stage = waits.stage AND expert_waits.component = waits.component
    ),
    held AS
    (
        SELECT
            affected.challenge_id AS challenge_id,
            affected.user_key AS user_key,
            open.stage AS stage,
            open.component AS component,
            affected.lost_ns AS lost_ns,
            count() OVER (PARTITION BY affected.user_key, open.stage, open.component) AS sharers
        FROM affected
        INNER JOIN open ON open.challenge_id = affected.challenge_id
    )
SELECT
    held.challenge_id AS challenge_id,
    lower(hex(held.user_key)) AS user,
    held.stage AS stage,
    held.lost_ns + intDiv(excess.excess_ns, held.sharers) AS lost_ns
FROM held
INNER JOIN rated ON rated.user_key = held.user_key
LEFT JOIN excess ON excess.user_key = held.user_key AND excess.stage = held.stage AND excess.component = held.component
ORDER BY user, stage, lost_ns DESC, challenge_id;

-- name: stage_activity
-- What each user of an analysis attempted at each stage, and how long it took with its waiting.
SELECT
    lower(hex(attempts_daily.user_key)) AS user,
    stage,
    sum(attempts) AS attempts,
    sum(duration_ns + wait_ns) AS spent_ns
FROM attempts_daily
INNER JOIN
(
    SELECT user_key FROM user_segments FINAL WHERE analysis_id = {analysis_id:String}
) AS known ON known.user_key = attempts_daily.user_key
WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
GROUP BY attempts_daily.user_key, stage
ORDER BY user, stage;

-- name: error_examples
-- Earliest traces of each error signal in a window.
SELECT stage, component, error_type AS signal, groupArraySorted(8)((event_time, trace_id)) AS examples
FROM failures
WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date} AND trace_id != ''
GROUP BY stage, component, error_type
ORDER BY stage, component, signal;

-- name: redundancy_examples
-- Earliest traces of one action's repeats in a window.
SELECT groupArraySorted(8)((event_time, trace_id)) AS examples
FROM signals FINAL
WHERE toDate(event_time, 'UTC') >= {first_day:Date} AND toDate(event_time, 'UTC') < {end_day:Date}
    AND action_kind = 'key' AND trace_id != ''
    AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
    AND (user_key, digest) IN (
        SELECT user_key, digest
        FROM repeats_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
        GROUP BY user_key, digest
        HAVING sum(times) > {limit:UInt64}
    );

-- name: evidence_error
-- k of n per segment for one error signal, as known at an instant.
SELECT segment, uniqExactIf(user_key, user_key IN (
    SELECT user_key
    FROM failures
    WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        AND ingest_time <= {known_at:DateTime64(3, 'UTC')}
        AND stage = {stage:String} AND component = {component:String} AND error_type = {signal:String}
)) AS k, count() AS n
FROM user_segments FINAL
WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
GROUP BY segment
ORDER BY segment;

-- name: evidence_redundancy
-- k of n per segment for one repeated action in one period, as known at an instant, from the signals
-- themselves: whoever did the same thing more than `limit` times.
WITH
    key_actions AS
    (
        SELECT user_key, trace_id, digest
        FROM signals FINAL
        WHERE event_time >= {period_start:DateTime64(3, 'UTC')} AND event_time < {period_end:DateTime64(3, 'UTC')}
            AND ingest_time <= {known_at:DateTime64(3, 'UTC')}
            AND action_kind = 'key' AND digest != ''
            AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
    ),
    trace_users AS
    (
        SELECT trace_id, argMin(user_key, (event_time, signal_id)) AS trace_user
        FROM signals FINAL
        WHERE trace_id IN (SELECT trace_id FROM key_actions WHERE user_key = toFixedString('', 16) AND trace_id != '')
            AND user_key != toFixedString('', 16) AND ingest_time <= {known_at:DateTime64(3, 'UTC')}
        GROUP BY trace_id
    )
SELECT segment, uniqExactIf(user_key, user_key IN (
    SELECT doer
    FROM
    (
        SELECT if(key_actions.user_key != toFixedString('', 16), key_actions.user_key, trace_users.trace_user) AS doer, digest
        FROM key_actions
        LEFT JOIN trace_users ON trace_users.trace_id = key_actions.trace_id
    )
    GROUP BY doer, digest
    HAVING count() > {limit:UInt64}
)) AS k, count() AS n
FROM user_segments FINAL
WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
GROUP BY segment
ORDER BY segment;
