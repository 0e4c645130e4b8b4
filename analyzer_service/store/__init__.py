"""The only way to the data: one client, two engines (embedded chDB or a ClickHouse server)."""
