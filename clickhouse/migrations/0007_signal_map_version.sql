-- The map changes while the service runs, and signals can be derived again from what is raw.
-- Rows say whose they are, so that a new version of the program keeps an operator's own. A removed
-- row keeps its number and loses its pattern.
ALTER TABLE signal_map ADD COLUMN IF NOT EXISTS origin LowCardinality(String) DEFAULT 'shipped';

-- Every row, also rule 0, which is none at all, carries the version of the whole map: a signal then
-- says by which map it was judged, whether or not a row applied. The flat dictionary cannot load a
-- higher number than these, and the views would throw without it.
CREATE OR REPLACE VIEW signal_map_rules AS
SELECT
    toUInt64(rule_id) AS rule_id, stage, component, action, action_kind,
    (SELECT max(map_version) FROM signal_map) AS map_version
FROM signal_map FINAL
WHERE rule_id < 500000
UNION ALL
SELECT toUInt64(0), '', '', '', '', (SELECT max(map_version) FROM signal_map);

-- Signals derived again win over those derived before, and only they do: a raw row sent again after
-- the map changed must not, so precedence goes by derived_version and no longer by map_version. What
-- the views write has 0 there. A signal derived again keeps the ingest_time of its first arrival.
ALTER TABLE signals ADD COLUMN IF NOT EXISTS derived_version UInt32 DEFAULT 0 AFTER map_version;

ALTER TABLE signals ADD COLUMN IF NOT EXISTS derived_time DateTime64(3, 'UTC') DEFAULT 0 AFTER derived_version;

ALTER TABLE signals MODIFY COLUMN precedence UInt64 MATERIALIZED bitShiftLeft(toUInt64(derived_version), 42)
    + (4398046511103 - toUInt64(greatest(toUnixTimestamp64Milli(ingest_time), 0)));
