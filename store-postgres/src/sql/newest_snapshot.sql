-- The newest snapshot of a key within bounds.
-- $1 stream, $2 tenant, $3 schema version, then the bounds, NULL where there is none: $4 version, $5 position, $6 recorded at,
-- $7 occurred at
SELECT version, position, recorded_at, occurred_at, state FROM factum.snapshots
WHERE stream = $1 AND tenant = $2 AND schema_version = $3
  AND ($4 IS NULL OR version <= $4) AND ($5 IS NULL OR position <= $5)
  AND ($6 IS NULL OR recorded_at <= $6) AND ($7 IS NULL OR occurred_at <= $7)
ORDER BY version DESC LIMIT 1
