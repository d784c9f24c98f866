-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 position, ?6 version, ?7 recorded_at, ?8 occurred_at, ?9 positions,
-- ?10 body
INSERT INTO documents (generation, tenant, key, log, position, version, recorded_at, occurred_at, positions, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (generation, tenant, key, log)
DO UPDATE SET position = excluded.position, version = excluded.version, recorded_at = excluded.recorded_at,
              occurred_at = excluded.occurred_at, positions = excluded.positions, body = excluded.body
