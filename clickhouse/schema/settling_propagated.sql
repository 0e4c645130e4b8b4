CREATE TABLE settling_propagated
(
    `signal_id` FixedString(16)
)
ENGINE = MergeTree
ORDER BY signal_id;
