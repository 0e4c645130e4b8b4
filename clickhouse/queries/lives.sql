-- name: life_runs
-- Runs that may be told as one story with an analysis: the same rule set over windows of the same
-- length that end no later; of several over one window the one made last.
WITH asked AS
(
    SELECT rule_set, window_start, window_end, created_time
    FROM analyses FINAL
    WHERE analysis_id = {analysis_id:String}
)
SELECT
    argMax(analyses.analysis_id, (analyses.created_time, analyses.analysis_id)) AS analysis_id,
    analyses.window_end AS window_end,
    max(analyses.created_time) AS created_time
FROM analyses FINAL
INNER JOIN asked ON asked.rule_set = analyses.rule_set
WHERE analyses.status = 'succeeded'
    AND analyses.window_end - analyses.window_start = asked.window_end - asked.window_start
    AND analyses.window_end <= asked.window_end
    AND analyses.created_time <= asked.created_time
GROUP BY analyses.window_end
ORDER BY window_end;

-- name: life_sightings
-- What some runs reported.
SELECT analysis_id, challenge_id, signal_kind, stage, component, signal, kind, grade, probability
FROM challenges FINAL
WHERE analysis_id IN {analysis_ids:Array(String)}
ORDER BY analysis_id, challenge_id;

-- name: life_reviews
-- What people said until a moment, in order; an empty place takes all.
SELECT review_id, place_id, signal_kind, stage, component, signal, kind, review_time, reviewer, comment, effective_time, segments
FROM challenge_reviews FINAL
WHERE ({place_id:String} = '' OR place_id = {place_id:String}) AND review_time <= {until:DateTime64(3, 'UTC')}
ORDER BY review_time, review_id;

-- name: life_comparisons
-- What some runs found of interventions.
SELECT analysis_id, place_id, review_id, effect, change, low, high, touched_before, touched_after, untouched_before, untouched_after
FROM challenge_comparisons FINAL
WHERE analysis_id IN {analysis_ids:Array(String)}
ORDER BY analysis_id, place_id, review_id;

-- name: intervention_exposure
-- Attempts and failures of each rated user at one place, before and after an intervention. Of a
-- repeated action every time is an attempt, and every time but the first of a day a failure.
WITH
    counted AS
    (
        SELECT user_key, event_day, attempts AS attempted, toUInt64(0) AS failed
        FROM attempts_daily
        WHERE {signal_kind:String} = 'error' AND stage = {stage:String} AND component = {component:String}
        UNION ALL
        SELECT user_key, event_day, toUInt64(0) AS attempted, toUInt64(1) AS failed
        FROM failures
        WHERE {signal_kind:String} = 'error' AND stage = {stage:String} AND component = {component:String}
            AND error_type = {signal:String}
        UNION ALL
        SELECT user_key, event_day, times AS attempted, toUInt64(times - 1) AS failed
        FROM repeats_daily
        WHERE {signal_kind:String} = 'redundancy' AND stage = {stage:String} AND component = {component:String}
            AND action = {signal:String}
    ),
    by_user AS
    (
        SELECT
            user_key,
            sumIf(attempted, event_day < {effective_day:Date}) AS attempts_before,
            sumIf(failed, event_day < {effective_day:Date}) AS failures_before,
            sumIf(attempted, event_day > {effective_day:Date}) AS attempts_after,
            sumIf(failed, event_day > {effective_day:Date}) AS failures_after
        FROM counted
        WHERE event_day >= {first_day:Date} AND event_day < {end_day:Date}
        GROUP BY user_key
    )
SELECT
    segment,
    attempts_before,
    least(failures_before, attempts_before) AS failures_before,
    attempts_after,
    least(failures_after, attempts_after) AS failures_after
FROM by_user
INNER JOIN user_segments FINAL ON user_segments.user_key = by_user.user_key
WHERE analysis_id = {analysis_id:String} AND segment != 'unrated'
ORDER BY by_user.user_key;
