-- A page of one stream.
-- $1 stream, $2 tenant, $3 the version after which to begin, $4 how many at most, $5 the last version
-- A payload that may be large is left out (NULL), so that a page never is more than was asked for: sql/payloads.sql.
SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
  NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
  CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
FROM factum.events WHERE stream = $1 AND tenant = $2 AND version > $3 AND version <= $5 ORDER BY version LIMIT $4
