-- As `append_next`, where the sender has appended so often in a row that its place is almost sure to be free. `ON CONFLICT` enters
-- the event as one that may have to be taken back, and confirms it: 3 % of a lone append on a quick disk. Here a place that is
-- taken is an error instead, 23505, and an error stands in the server's log: `Sure` sees to it that there are few. Nothing was
-- recorded then either. The same binds.
INSERT INTO factum.events (
  position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata, payload
)
SELECT $12, $4, greatest($13, clock_timestamp()), $8, $5, $7, $2, $3, $1, $6, $9, $10, $11
WHERE CASE
  WHEN pg_advisory_xact_lock(:lock) IS NULL THEN false
  ELSE clock_timestamp() < $13 + interval '1 second' AND current_setting('synchronous_commit') <> 'off'
END
RETURNING recorded_at
