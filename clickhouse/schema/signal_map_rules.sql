CREATE VIEW signal_map_rules
(
    `rule_id` UInt64,
    `stage` LowCardinality(String),
    `component` LowCardinality(String),
    `action` LowCardinality(String),
    `action_kind` LowCardinality(String),
    `map_version` UInt32
)
AS SELECT
    toUInt64(rule_id) AS rule_id,
    stage,
    component,
    action,
    action_kind,
    map_version
FROM signal_map
FINAL;
