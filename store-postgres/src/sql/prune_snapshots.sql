-- Forgets all but the newest snapshots of a key.
-- $1 stream, $2 tenant, $3 schema version, $4 how many to keep
DELETE FROM factum.snapshots WHERE stream = $1 AND tenant = $2 AND schema_version = $3 AND version IN (
  SELECT version FROM factum.snapshots WHERE stream = $1 AND tenant = $2 AND schema_version = $3
  ORDER BY version DESC OFFSET $4
)
