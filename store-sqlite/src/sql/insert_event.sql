-- ?1 position, ?2 recorded_at, ?3 tenant, ?4 stream, ?5 version, ?6 event type, ?7 schema version, ?8 id,
-- ?9 occurred_at, ?10 tags, ?11 metadata, ?12 payload
INSERT INTO events (position, recorded_at, tenant, stream, version, event_type, schema_version, id,
                    occurred_at, tags, metadata, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
