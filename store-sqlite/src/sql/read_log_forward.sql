-- ?1 the position after which to begin, ?2 the last position
SELECT position, recorded_at, tenant, stream, version, event_type, schema_version, id, occurred_at, tags, metadata, payload
FROM events WHERE position > ?1 AND position <= ?2 ORDER BY position
