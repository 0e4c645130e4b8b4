CREATE TABLE signal_map
(
    `rule_id` UInt32,
    `priority` UInt32,
    `pattern` String,
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `map_version` UInt32,
    `source` String,
    `example` String,
    `counter_example` String,
    `origin` LowCardinality(String) DEFAULT 'shipped'
)
ENGINE = ReplacingMergeTree(map_version)
ORDER BY rule_id
SETTINGS non_replicated_deduplication_window = 1000;
