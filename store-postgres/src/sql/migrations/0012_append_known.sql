-- Appends a group of which nothing needs to be looked up: its sender has recorded the last events of the log itself, knows from the
-- answers where the streams of the group end, and has seen that every condition holds there. Answers when the group was recorded.
-- NULL where the log is not as its sender believes: then nothing is recorded, and it is a group like any other.
--
-- What the sender believes it proves by marks, in the order of the log: an event that it was told of, and the first and the last
-- event of what it sent since and was not yet answered. Where each of them is at its place, and the last one is the head, nobody
-- else has appended since the first: positions have no gap, so all between the first and the last event of a transaction is of that
-- transaction, and all of it is there.
--
-- `e_version` is the version of each event in its stream. What no event has is NULL.
CREATE FUNCTION factum.append_known(
  m_position bigint[], m_id uuid[],
  e_version bigint[], e_stream text[], e_tenant text[], e_category text[], e_id uuid[], e_type text[], e_schema_version bigint[],
  e_occurred_at timestamptz[], e_tags text[], e_metadata json[], e_payload json[]
) RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  head bigint;
  recorded timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(:lock);
  PERFORM factum.require_settings();
  SELECT e.position, e.recorded_at INTO head, recorded FROM factum.events e ORDER BY e.position DESC LIMIT 1;
  IF head IS DISTINCT FROM m_position[cardinality(m_position)] OR EXISTS (
    SELECT FROM generate_series(1, cardinality(m_position)) AS m(n)
    WHERE NOT EXISTS (SELECT FROM factum.events e WHERE e.position = m_position[m.n] AND e.id = m_id[m.n])
  ) THEN
    RETURN NULL;
  END IF;
  recorded := greatest(recorded, clock_timestamp());
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  )
  SELECT
    head + e.n, e_version[e.n], recorded, e_occurred_at[e.n], e_id[e.n], e_schema_version[e.n], coalesce(e_tenant[e.n], ''),
    e_category[e.n], e_stream[e.n], e_type[e.n], e_tags[e.n]::text[], e_metadata[e.n], e_payload[e.n]
  FROM generate_series(1, cardinality(e_id)) AS e(n);
  IF e_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT e.position, unnest(e.tags), e.tenant, e.category, e.event_type
    FROM factum.events e WHERE e.position > head AND e.tags IS NOT NULL;
  END IF;
  RETURN recorded;
END $function$;
