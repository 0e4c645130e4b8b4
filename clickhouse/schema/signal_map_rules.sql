CREATE VIEW signal_map_rules
(
    `rule_id` UInt64,
    `stage` String,
    `component` String,
    `action` String,
    `action_kind` String,
    `map_version` Nullable(UInt32)
)
AS SELECT
    toUInt64(rule_id) AS rule_id,
    stage,
    component,
    action,
    action_kind,
    (
        SELECT max(map_version)
        FROM signal_map
    ) AS map_version
FROM signal_map
FINAL
WHERE rule_id < 500000
UNION ALL
SELECT
    toUInt64(0),
    '',
    '',
    '',
    '',
    (
        SELECT max(map_version)
        FROM signal_map
    );
