-- The paper's three classes of signals, for people who ask with SQL.

CREATE VIEW IF NOT EXISTS mlp_action AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    action_kind, outcome, digest, target_id, trace_id, span_id
FROM signals FINAL
WHERE action_kind != '';

CREATE VIEW IF NOT EXISTS mlp_error AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    error_type, duration_ns, trace_id, span_id
FROM signals FINAL
WHERE outcome = 'error';

CREATE VIEW IF NOT EXISTS mlp_time AS
SELECT
    event_time, ingest_time, lower(hex(user_key)) AS user_hash, session_id, stage, component, action,
    time_kind, duration_ns, wait_ns, trace_id, span_id
FROM signals FINAL
WHERE time_kind != '' OR duration_ns > 0;
