-- ?1 tenant, ?2 stream, ?3 schema version, ?4 version, ?5 position, ?6 recorded_at, ?7 occurred_at, ?8 state
INSERT OR REPLACE INTO snapshots (tenant, stream, schema_version, version, position, recorded_at, occurred_at, state)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
