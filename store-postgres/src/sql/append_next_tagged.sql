-- As `append_next`, an event with tags, to a stream that is there or is not to be. The same binds.
WITH recorded AS (
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata, payload
  )
  SELECT $12, $4, greatest($13, clock_timestamp()), $8, $5, $7, $2, $3, $1, $6, $9, $10, $11
  WHERE CASE
    WHEN pg_advisory_xact_lock(:lock) IS NULL THEN false
    ELSE clock_timestamp() < $13 + interval '1 second' AND current_setting('synchronous_commit') <> 'off'
  END
  ON CONFLICT DO NOTHING
  RETURNING position, tenant, category, event_type, tags, recorded_at
), tagged AS (
  INSERT INTO factum.tags (position, tag, tenant, category, event_type)
  SELECT r.position, t.tag, r.tenant, r.category, r.event_type FROM recorded AS r CROSS JOIN LATERAL unnest(r.tags) AS t(tag)
)
SELECT r.recorded_at FROM recorded AS r
