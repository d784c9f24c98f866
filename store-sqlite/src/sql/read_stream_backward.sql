-- ?1 stream, ?2 tenant, ?3 the version before which to begin, ?4 how many at most
SELECT position, recorded_at, tenant, stream, version, event_type, schema_version, id, occurred_at, tags, metadata, payload
FROM events WHERE stream = ?1 AND tenant = ?2 AND version < ?3 ORDER BY version DESC LIMIT ?4
