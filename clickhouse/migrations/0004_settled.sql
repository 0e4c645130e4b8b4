-- What an analysis reads. Each settled table is recomputed by whole event days from `signals FINAL`
-- and swapped in with REPLACE PARTITION, so duplicates, late spans, map changes, erasure and users
-- inherited from their trace are one mechanism. No view feeds these tables.
-- `settling_*` are the staging twins; the one settling process owns them.

-- Signals of the days being settled, resolved within their traces.
CREATE TABLE IF NOT EXISTS settling_signals
(
    event_day Date,
    event_time DateTime64(9, 'UTC'),
    ingest_time DateTime64(3, 'UTC'),
    signal_id FixedString(16),
    parent_id FixedString(16),
    source LowCardinality(String),
    trace_id String,
    user_key FixedString(16),
    session_id String,
    service_name LowCardinality(String),
    span_kind LowCardinality(String),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    outcome LowCardinality(String),
    error_type LowCardinality(String),
    duration_ns UInt64,
    wait_ns UInt64,
    digest String,
    weight Float64
)
ENGINE = MergeTree
ORDER BY signal_id;

-- Erring signals of the days being settled that only pass on, or repeat, a failure counted elsewhere.
CREATE TABLE IF NOT EXISTS settling_propagated
(
    signal_id FixedString(16)
)
ENGINE = MergeTree
ORDER BY signal_id;

-- Who did what how often. Integers only, so that the sums do not depend on their order:
-- durations are also summed as millionths of natural logarithms of seconds.
CREATE TABLE IF NOT EXISTS attempts_daily
(
    event_day Date,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    events UInt64,
    attempts UInt64,
    failed_attempts UInt64,
    completed UInt64,
    completed_log_micros Int64,
    duration_ns UInt64,
    failed_ns UInt64,
    wait_ns UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (user_key, stage, component, action, action_kind);

-- Failures where they started, one row each.
CREATE TABLE IF NOT EXISTS failures
(
    event_day Date,
    event_time DateTime64(9, 'UTC'),
    ingest_time DateTime64(3, 'UTC'),
    signal_id FixedString(16),
    trace_id String,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    error_type LowCardinality(String),
    duration_ns UInt64,
    weight Float64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (stage, component, error_type, user_key, event_time, signal_id);

-- Key actions with a digest: "the same action again".
CREATE TABLE IF NOT EXISTS repeats_daily
(
    event_day Date,
    user_key FixedString(16),
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    digest String,
    times UInt64,
    duration_ns UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (stage, component, action, user_key, digest);

CREATE TABLE IF NOT EXISTS sessions_daily
(
    event_day Date,
    user_key FixedString(16),
    session_id String,
    first_time DateTime64(9, 'UTC'),
    last_time DateTime64(9, 'UTC'),
    events UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (user_key, session_id);

CREATE TABLE IF NOT EXISTS settling_attempts_daily AS attempts_daily;
CREATE TABLE IF NOT EXISTS settling_failures AS failures;
CREATE TABLE IF NOT EXISTS settling_repeats_daily AS repeats_daily;
CREATE TABLE IF NOT EXISTS settling_sessions_daily AS sessions_daily;

-- One row per settled day: what came of its signals.
CREATE TABLE IF NOT EXISTS settled_days
(
    event_day Date,
    settled_time DateTime64(3, 'UTC'),
    known_at DateTime64(3, 'UTC'),
    signals UInt64,
    attempts UInt64,
    failures UInt64,
    propagated UInt64,
    without_user UInt64,
    unmapped UInt64,
    unknown_stage UInt64
)
ENGINE = ReplacingMergeTree(settled_time)
ORDER BY event_day
SETTINGS non_replicated_deduplication_window = 1000;

-- One row per settling run. The next one starts at its watermark; `tail_*` fingerprint the signals
-- that had arrived shortly before it, so that one committed late is noticed (see store/settling.py).
CREATE TABLE IF NOT EXISTS settlements
(
    settled_time DateTime64(3, 'UTC'),
    watermark DateTime64(3, 'UTC'),
    tail_signals UInt64,
    tail_hash UInt64,
    days UInt64,
    signals UInt64,
    duration_ms UInt64
)
ENGINE = MergeTree
ORDER BY settled_time
SETTINGS non_replicated_deduplication_window = 1000;
