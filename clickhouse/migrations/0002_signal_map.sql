-- Services that know nothing of us get stage, component and action from these rows. The first row
-- by priority whose pattern matches `service \n span or event name \n route` wins, whole.

CREATE TABLE IF NOT EXISTS signal_map
(
    rule_id UInt32,
    priority UInt32,
    pattern String,
    stage LowCardinality(String),
    component LowCardinality(String),
    action LowCardinality(String),
    action_kind LowCardinality(String),
    map_version UInt32,
    source String,
    example String,
    counter_example String
)
ENGINE = ReplacingMergeTree(map_version)
ORDER BY rule_id
SETTINGS non_replicated_deduplication_window = 1000;

-- The never-matching row keeps the dictionary loadable while the map is empty: a dictionary that
-- cannot load would make the views throw after the raw rows are stored.
CREATE VIEW IF NOT EXISTS signal_map_tree AS
SELECT
    toUInt64(row_number() OVER (ORDER BY priority, rule_id)) AS id,
    toUInt64(0) AS parent_id,
    pattern AS regexp,
    ['rule_id'] AS keys,
    [toString(rule_id)] AS values
FROM
(
    SELECT priority, rule_id, pattern FROM signal_map FINAL WHERE pattern != ''
    UNION ALL
    SELECT toUInt32(4294967295), toUInt32(0), '^\\x{0}never\\x{0}$'
);

CREATE VIEW IF NOT EXISTS signal_map_rules AS
SELECT toUInt64(rule_id) AS rule_id, stage, component, action, action_kind, map_version
FROM signal_map FINAL;

-- One attribute only: a regular-expression tree with several would blend rows that match together.
CREATE DICTIONARY IF NOT EXISTS signal_map_match (regexp String, rule_id UInt32 DEFAULT 0)
PRIMARY KEY (regexp)
SOURCE(CLICKHOUSE(TABLE 'signal_map_tree'))
LAYOUT(regexp_tree)
LIFETIME(0);

CREATE DICTIONARY IF NOT EXISTS signal_map_rule
(
    rule_id UInt64,
    stage String DEFAULT '',
    component String DEFAULT '',
    action String DEFAULT '',
    action_kind String DEFAULT '',
    map_version UInt32 DEFAULT 0
)
PRIMARY KEY (rule_id)
SOURCE(CLICKHOUSE(TABLE 'signal_map_rules'))
LAYOUT(flat)
LIFETIME(0);
