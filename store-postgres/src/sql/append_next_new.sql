-- As `append_next`, to a stream that is not to be there: its sender knows nothing of it, so its first version is looked at too.
-- The same binds.
INSERT INTO factum.events (
  position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata, payload
)
SELECT $12, $4, greatest($13, clock_timestamp()), $8, $5, $7, $2, $3, $1, $6, $9, $10, $11
WHERE CASE
  WHEN pg_advisory_xact_lock(:lock) IS NULL THEN false
  ELSE clock_timestamp() < $13 + interval '1 second' AND current_setting('synchronous_commit') <> 'off'
END
ON CONFLICT DO NOTHING
RETURNING recorded_at
