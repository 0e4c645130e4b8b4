CREATE TABLE settling_sessions_daily
(
    `event_day` Date,
    `user_key` FixedString(16),
    `session_id` String,
    `first_time` DateTime64(9, 'UTC'),
    `last_time` DateTime64(9, 'UTC'),
    `events` UInt64
)
ENGINE = MergeTree
PARTITION BY event_day
ORDER BY (user_key, session_id);
