-- Appends a group without keys and queries that writes no stream twice, which most are: whether it holds depends on the ends of its
-- streams alone. Where all of it holds, two statements do what takes `append_group` a dozen, each of which is made ready anew in
-- every transaction, while all other writers wait; where anything does not hold, `append_group` judges it.
--
-- Answers an array: the last position before the group, when it was recorded, in microseconds, for each write the version that its
-- stream was at, and, unless all holds, for each append its verdict, as `judge` says them.
--
-- Parameters are those of `append_group`, with streams, tenants and categories for each write. `a_events` is NULL where each append
-- is of one event, `w_append` where each is one write.
CREATE FUNCTION factum.append_plain(
  a_events integer[],
  w_append integer[], w_stream text[], w_tenant text[], w_category text[], w_condition bigint[],
  e_append integer[], e_write integer[], e_in_append integer[], e_in_write integer[],
  e_id uuid[], e_type text[], e_schema_version bigint[], e_occurred_at timestamptz[], e_tags text[], e_metadata json[],
  e_payload json[]
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  head bigint;
  recorded timestamptz;
  lasts bigint[];
BEGIN
  IF pg_advisory_xact_lock(:lock) IS NULL OR current_setting('transaction_isolation') <> 'read committed'
    OR current_setting('synchronous_commit') = 'off' THEN
    PERFORM factum.require_settings();
  END IF;
  SELECT e.position, e.recorded_at, ARRAY(
    SELECT coalesce((
      SELECT e.version FROM factum.events e
      WHERE e.stream = w_stream[a.w] AND e.tenant = coalesce(w_tenant[a.w], '') AND e.version >= w_condition[a.w]
      ORDER BY e.version DESC LIMIT 1
    ), 0)
    FROM generate_series(1, cardinality(w_stream)) AS a(w)
  ) INTO head, recorded, lasts FROM factum.events e ORDER BY e.position DESC LIMIT 1;
  -- Not even looked into where each stream is at the version that is expected.
  IF lasts IS DISTINCT FROM w_condition THEN
    head := coalesce(head, 0);
    lasts := coalesce(lasts, array_fill(0::bigint, ARRAY[cardinality(w_stream)]));
    FOR w IN 1 .. cardinality(w_stream) LOOP
      IF (CASE w_condition[w] WHEN -1 THEN false WHEN -2 THEN lasts[w] = 0 ELSE lasts[w] <> w_condition[w] END) THEN
        RETURN (
          SELECT ARRAY[g.head, (extract(epoch FROM g.recorded_at) * 1000000)::bigint] || g.lasts || g.verdicts::bigint[]
          FROM factum.append_group(
            coalesce(a_events, array_fill(1, ARRAY[cardinality(e_id)])),
            coalesce(w_append, ARRAY(SELECT generate_series(1, cardinality(w_stream)))), w_stream, w_tenant, w_condition,
            -- How many events a write has is asked where another write of the group is to its stream.
            NULL, NULL,
            e_append, e_write, e_in_append, e_in_write,
            ARRAY(SELECT w_stream[coalesce(e_write[e.n], e.n)] FROM generate_series(1, cardinality(e_id)) AS e(n)),
            CASE WHEN w_tenant IS NOT NULL THEN
              ARRAY(SELECT w_tenant[coalesce(e_write[e.n], e.n)] FROM generate_series(1, cardinality(e_id)) AS e(n))
            END,
            ARRAY(SELECT w_category[coalesce(e_write[e.n], e.n)] FROM generate_series(1, cardinality(e_id)) AS e(n)),
            e_id, e_type, e_schema_version, e_occurred_at, e_tags, e_metadata, e_payload,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
          ) AS g
        );
      END IF;
    END LOOP;
  END IF;
  recorded := greatest(recorded, clock_timestamp());
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  )
  SELECT
    head + e.n, lasts[coalesce(e_write[e.n], e.n)] + coalesce(e_in_write[e.n], 1), recorded, e_occurred_at[e.n], e_id[e.n],
    e_schema_version[e.n], coalesce(w_tenant[coalesce(e_write[e.n], e.n)], ''), w_category[coalesce(e_write[e.n], e.n)],
    w_stream[coalesce(e_write[e.n], e.n)], e_type[e.n], e_tags[e.n]::text[], e_metadata[e.n], e_payload[e.n]
  FROM generate_series(1, cardinality(e_id)) AS e(n);
  IF e_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT e.position, unnest(e.tags), e.tenant, e.category, e.event_type
    FROM factum.events e WHERE e.position > head AND e.tags IS NOT NULL;
  END IF;
  RETURN ARRAY[head, (extract(epoch FROM recorded) * 1000000)::bigint] || lasts;
END $function$;
