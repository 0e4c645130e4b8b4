CREATE DICTIONARY signal_map_match
(
    `regexp` String,
    `rule_id` UInt32 DEFAULT 0
)
PRIMARY KEY regexp
SOURCE(CLICKHOUSE(TABLE 'signal_map_tree'))
LIFETIME(MIN 0 MAX 0)
LAYOUT(REGEXP_TREE);
