-- A page of one stream.
-- $1 stream, $2 tenant, $3 the version before which to begin, $4 how many at most
-- A payload that may be large is left out (NULL), so that a page never is more than was asked for: sql/payloads.sql.
SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
  NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
  CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
FROM factum.events WHERE stream = $1 AND tenant = $2 AND version < $3 ORDER BY version DESC LIMIT $4
