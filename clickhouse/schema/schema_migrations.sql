CREATE TABLE schema_migrations
(
    `version` UInt32,
    `name` String,
    `checksum` FixedString(64),
    `applied_time` DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    `statements` UInt32
)
ENGINE = ReplacingMergeTree(applied_time)
ORDER BY version
SETTINGS non_replicated_deduplication_window = 100;
