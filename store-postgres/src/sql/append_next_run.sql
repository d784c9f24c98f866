-- As `append_next_sure`, several events without tags. All of them are recorded or none: a place that is taken is an error.
-- Whether the stream goes on from there is looked at as well, so that one that is there already, where none should be, is no
-- error. That shows what was committed when the statement began; whatever was committed while it waited for the lock has its
-- position, which is taken then. The lock is taken, and the time looked at, once and before the first event is made.
-- $1 stream, $2 tenant, $3 category, $4 version of the first, and of each event: $5 id, $6 type, $7 schema version, $8 occurred at,
-- $9 nothing, $10 metadata, $11 payload; $12 position of the first, $13 when the last event of the log was recorded
WITH place AS MATERIALIZED (
  SELECT CASE
    WHEN pg_advisory_xact_lock(:lock) IS NULL THEN NULL
    WHEN EXISTS (SELECT FROM factum.events last WHERE last.stream = $1 AND last.tenant = $2 AND last.version >= $4) THEN NULL
    WHEN clock_timestamp() < $13 + interval '1 second' AND current_setting('synchronous_commit') <> 'off'
      THEN greatest($13, clock_timestamp())
  END AS recorded_at
), inserted AS (
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, metadata, payload
  )
  SELECT
    $12 + e.n - 1, $4 + e.n - 1, place.recorded_at, e.occurred_at, e.id, e.schema_version, $2, $3, $1, e.type, e.metadata,
    e.payload
  FROM place, unnest($5::uuid[], $6::text[], $7::bigint[], $8::timestamptz[], $10::json[], $11::json[]) WITH ORDINALITY
    AS e(id, type, schema_version, occurred_at, metadata, payload, n)
  WHERE place.recorded_at IS NOT NULL
  RETURNING recorded_at
)
SELECT recorded_at FROM inserted LIMIT 1
