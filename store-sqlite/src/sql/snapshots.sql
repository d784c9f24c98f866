-- ?1 stream, ?2 tenant, ?3 schema version
SELECT version, position, recorded_at, occurred_at, state FROM snapshots
WHERE stream = ?1 AND tenant = ?2 AND schema_version = ?3 ORDER BY version DESC
