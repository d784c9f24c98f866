-- ?1 the position before which to begin
SELECT position, recorded_at, tenant, stream, version, event_type, schema_version, id, occurred_at, tags, metadata, payload
FROM events WHERE position < ?1 ORDER BY position DESC
