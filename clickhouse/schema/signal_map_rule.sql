CREATE DICTIONARY signal_map_rule
(
    `rule_id` UInt64,
    `stage` String DEFAULT '',
    `component` String DEFAULT '',
    `action` String DEFAULT '',
    `action_kind` String DEFAULT '',
    `map_version` UInt32 DEFAULT 0
)
PRIMARY KEY rule_id
SOURCE(CLICKHOUSE(TABLE 'signal_map_rules'))
LIFETIME(MIN 0 MAX 0)
LAYOUT(FLAT);
