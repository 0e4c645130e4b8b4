-- name: analysis_by_id
-- One analysis.
SELECT analysis_id, status, created_time, updated_time, window_start, window_end, known_at, rule_set, rule_set_version,
    preset, rated, unrated, segment_sizes, challenges, error, detail
FROM analyses FINAL
WHERE analysis_id = {analysis_id:String};

-- name: analysis_latest
-- The newest analysis that succeeded.
SELECT analysis_id, status, created_time, updated_time, window_start, window_end, known_at, rule_set, rule_set_version,
    preset, rated, unrated, segment_sizes, challenges, error, detail
FROM analyses FINAL
WHERE status = 'succeeded'
ORDER BY created_time DESC, analysis_id DESC
LIMIT 1;

-- name: analyses_unfinished
-- Analyses that have not ended.
SELECT analysis_id, status, created_time, updated_time, window_start, window_end, known_at, rule_set, rule_set_version,
    preset, rated, unrated, segment_sizes, challenges, error, detail
FROM analyses FINAL
WHERE status IN ('pending', 'running')
ORDER BY created_time, analysis_id;

-- name: analyses_page
-- Analyses, newest first.
SELECT analysis_id, status, created_time, updated_time, window_start, window_end, known_at, rule_set, rule_set_version,
    preset, rated, unrated, segment_sizes, challenges, error, detail
FROM analyses FINAL
ORDER BY created_time DESC, analysis_id DESC
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: analyses_count
-- How many analyses there are.
SELECT count() AS total FROM analyses FINAL;

-- name: challenges_page
-- Challenges of an analysis by rank; an empty filter takes all.
SELECT analysis_id, challenge_id, rank, kind, stage, component, signal, signal_kind, rule, grade, probability,
    users_affected, time_lost_seconds, evidence, evidence_query, example_trace_ids
FROM challenges FINAL
WHERE analysis_id = {analysis_id:String}
    AND ({kind:String} = '' OR kind = {kind:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({grade:String} = '' OR grade = {grade:String})
ORDER BY rank, challenge_id
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: challenges_count
-- How many challenges of an analysis pass the filter.
SELECT count() AS total
FROM challenges FINAL
WHERE analysis_id = {analysis_id:String}
    AND ({kind:String} = '' OR kind = {kind:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({grade:String} = '' OR grade = {grade:String});

-- name: challenge_by_id
-- One challenge of an analysis.
SELECT analysis_id, challenge_id, rank, kind, stage, component, signal, signal_kind, rule, grade, probability,
    users_affected, time_lost_seconds, evidence, evidence_query, example_trace_ids
FROM challenges FINAL
WHERE analysis_id = {analysis_id:String} AND challenge_id = {challenge_id:String};

-- name: segments_of
-- The clusters of an analysis, most experienced first.
SELECT segment, rank, users, proficiency, centroid
FROM segments FINAL
WHERE analysis_id = {analysis_id:String}
ORDER BY rank;

-- name: users_page
-- Users of an analysis with their segment; an empty filter takes all.
SELECT lower(hex(user_key)) AS user, segment, membership, borderline, features
FROM user_segments FINAL
WHERE analysis_id = {analysis_id:String} AND ({segment:String} = '' OR segment = {segment:String})
ORDER BY user_key
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: users_count
-- How many users of an analysis pass the filter.
SELECT count() AS total
FROM user_segments FINAL
WHERE analysis_id = {analysis_id:String} AND ({segment:String} = '' OR segment = {segment:String});

-- name: user_by_hash
-- One user of an analysis.
SELECT lower(hex(user_key)) AS user, segment, membership, borderline, features
FROM user_segments FINAL
WHERE analysis_id = {analysis_id:String} AND user_key = toFixedString(unhex({user:String}), 16);

-- name: bottlenecks_of
-- Stage-wise bottlenecks of some users.
SELECT lower(hex(user_key)) AS user, stage, status, rank, challenge_id, time_lost_seconds, share_of_time
FROM user_bottlenecks FINAL
WHERE analysis_id = {analysis_id:String}
    AND user_key IN (SELECT toFixedString(unhex(arrayJoin({users:Array(String)})), 16))
ORDER BY user_key, stage, rank;

-- name: error_signals_page
-- The failures behind an error challenge.
SELECT event_time, ingest_time, lower(hex(user_key)) AS user, stage, component, action, error_type, '' AS digest, duration_ns, trace_id
FROM failures
WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
    AND stage = {stage:String} AND component = {component:String} AND error_type = {signal:String}
ORDER BY event_time, signal_id
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: error_signals_count
-- How many failures are behind an error challenge.
SELECT count() AS total
FROM failures
WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
    AND stage = {stage:String} AND component = {component:String} AND error_type = {signal:String};

-- name: redundancy_signals_page
-- The repeats behind a redundancy challenge.
SELECT event_time, ingest_time, lower(hex(user_key)) AS user, stage, component, action, error_type, digest, duration_ns, trace_id
FROM signals FINAL
WHERE toDate(event_time, 'UTC') >= {first_day:Date} AND toDate(event_time, 'UTC') < {end_day:Date}
    AND action_kind = 'key' AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
    AND (user_key, digest) IN (
        SELECT user_key, digest
        FROM repeats_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
        GROUP BY user_key, digest
        HAVING sum(times) > {repeats:UInt64}
    )
ORDER BY event_time, signal_id
LIMIT {limit:UInt64} OFFSET {offset:UInt64};

-- name: redundancy_signals_count
-- How many repeats are behind a redundancy challenge.
SELECT count() AS total
FROM signals FINAL
WHERE toDate(event_time, 'UTC') >= {first_day:Date} AND toDate(event_time, 'UTC') < {end_day:Date}
    AND action_kind = 'key' AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
    AND (user_key, digest) IN (
        SELECT user_key, digest
        FROM repeats_daily
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
            AND stage = {stage:String} AND component = {component:String} AND action = {signal:String}
        GROUP BY user_key, digest
        HAVING sum(times) > {repeats:UInt64}
    );
