CREATE VIEW signal_map_tree
(
    `id` UInt64,
    `parent_id` UInt64,
    `regexp` String,
    `keys` Array(String),
    `values` Array(String)
)
AS SELECT
    toUInt64(row_number() OVER (ORDER BY priority ASC, rule_id ASC)) AS id,
    toUInt64(0) AS parent_id,
    pattern AS regexp,
    ['rule_id'] AS keys,
    [toString(rule_id)] AS `values`
FROM
(
    SELECT
        priority,
        rule_id,
        pattern
    FROM signal_map
    FINAL
    WHERE pattern != ''
    UNION ALL
    SELECT
        toUInt32(4294967295),
        toUInt32(0),
        '^\\x{0}never\\x{0}$'
);
