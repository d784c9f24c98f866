-- Keeps a snapshot and forgets all but the newest of its key. One that would be forgotten at once is not written.
-- $1 stream, $2 tenant, $3 schema version, $4 version, $5 position, $6 recorded at, $7 occurred at, $8 state, $9 how many to keep
WITH forgotten AS (
  DELETE FROM factum.snapshots WHERE stream = $1 AND tenant = $2 AND schema_version = $3 AND version IN (
    SELECT known.version FROM (
      SELECT version FROM factum.snapshots WHERE stream = $1 AND tenant = $2 AND schema_version = $3 UNION SELECT $4
    ) known ORDER BY known.version DESC OFFSET $9
  )
)
INSERT INTO factum.snapshots (stream, tenant, schema_version, version, position, recorded_at, occurred_at, state)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE $9 > (
  SELECT count(*) FROM factum.snapshots WHERE stream = $1 AND tenant = $2 AND schema_version = $3 AND version > $4
)
ON CONFLICT (stream, tenant, schema_version, version) DO UPDATE SET
  position = excluded.position, recorded_at = excluded.recorded_at, occurred_at = excluded.occurred_at,
  state = excluded.state
