-- The functions that append. In each the FIRST statement takes the order lock, and LATER statements check, read the head and
-- insert: in READ COMMITTED each statement sees all that was committed before it began, so after the lock nothing is missed.
-- A statement that took the lock and looked at once would look with a snapshot older than the lock that it waited for.
--
-- A condition is a number: -1 for any, -2 for an existing stream, else the version that the stream must be at (0: no stream).

-- What holds for the rest of the transaction, whatever the settings of the role, of the database, or of a pooler's session.
CREATE FUNCTION factum.require_settings() RETURNS void LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'an append needs READ COMMITTED, and this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'FA001', HINT = 'Begin it with ISOLATION LEVEL READ COMMITTED, and look at default_transaction_isolation.';
  END IF;
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $function$;

-- The version that a stream is at, or NULL. Appends look no further back than to the version that they expect: the index is read a
-- page at a time, and each entry of it that the stream has and the condition of the scan allows costs as much as the first. Only
-- who has to be told of a conflict needs to know where the stream is instead.
CREATE FUNCTION factum.last_version(p_stream text, p_tenant text) RETURNS bigint LANGUAGE sql VOLATILE AS $function$
  SELECT e.version FROM factum.events e WHERE e.stream = p_stream AND e.tenant = p_tenant ORDER BY e.version DESC LIMIT 1;
$function$;

-- One event to one stream: what a lone append calls. Answers its position, its version, and when it was recorded, in
-- microseconds; where the condition did not hold, NULL and the version that the stream is at. An array, because a function with
-- several results costs an execution node of its own, and three short statements, because one that does all is set up for as
-- long as they run.
CREATE FUNCTION factum.append_one(
  p_stream text, p_tenant text, p_category text, p_condition bigint, p_id uuid, p_type text, p_schema_version bigint,
  p_occurred_at timestamptz, p_tags text[], p_metadata json, p_payload json
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
  at bigint;
  last bigint;
  recorded timestamptz;
BEGIN
  IF pg_advisory_xact_lock(:lock) IS NULL OR current_setting('transaction_isolation') <> 'read committed'
    OR current_setting('synchronous_commit') = 'off' THEN
    PERFORM factum.require_settings();
  END IF;
  SELECT e.version INTO last FROM factum.events e
  WHERE e.stream = p_stream AND e.tenant = p_tenant AND e.version >= p_condition ORDER BY e.version DESC LIMIT 1;
  IF (CASE p_condition WHEN -1 THEN false WHEN -2 THEN last IS NULL ELSE coalesce(last, 0) <> p_condition END) THEN
    RETURN ARRAY[NULL, factum.last_version(p_stream, p_tenant)];
  END IF;
  SELECT e.position, e.recorded_at INTO at, recorded FROM factum.events e ORDER BY e.position DESC LIMIT 1;
  at := coalesce(at, 0) + 1;
  last := coalesce(last, 0) + 1;
  recorded := greatest(recorded, clock_timestamp());
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  ) VALUES (
    at, last, recorded, p_occurred_at, p_id, p_schema_version, p_tenant, p_category, p_stream, p_type, p_tags, p_metadata, p_payload
  );
  IF p_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT at, t.tag, p_tenant, p_category, p_type FROM unnest(p_tags) AS t(tag);
  END IF;
  RETURN ARRAY[at, last, (extract(epoch FROM recorded) * 1000000)::bigint];
END $function$;

-- Several events to one stream, from a command that decided more than one, or a batch: what a lone append of them calls. Answers
-- as `append_one` does, with the position and version of the first. What no event has is NULL.
CREATE FUNCTION factum.append_run(
  p_stream text, p_tenant text, p_category text, p_condition bigint, e_id uuid[], e_type text[], e_schema_version bigint[],
  e_occurred_at timestamptz[], e_tags text[], e_metadata json[], e_payload json[]
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  head bigint;
  last bigint;
  recorded timestamptz;
BEGIN
  IF pg_advisory_xact_lock(:lock) IS NULL THEN END IF;
  PERFORM factum.require_settings();
  SELECT e.version INTO last FROM factum.events e
  WHERE e.stream = p_stream AND e.tenant = p_tenant AND e.version >= p_condition ORDER BY e.version DESC LIMIT 1;
  IF (CASE p_condition WHEN -1 THEN false WHEN -2 THEN last IS NULL ELSE coalesce(last, 0) <> p_condition END) THEN
    RETURN ARRAY[NULL, factum.last_version(p_stream, p_tenant)];
  END IF;
  SELECT e.position, e.recorded_at INTO head, recorded FROM factum.events e ORDER BY e.position DESC LIMIT 1;
  head := coalesce(head, 0);
  last := coalesce(last, 0);
  recorded := greatest(recorded, clock_timestamp());
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  )
  SELECT
    head + e.n, last + e.n, recorded, e.occurred_at, e.id, e.schema_version, p_tenant, p_category, p_stream, e.type,
    e.tags::text[], e.metadata, e.payload
  FROM unnest(e_id, e_type, e_schema_version, e_occurred_at, e_tags, e_metadata, e_payload) WITH ORDINALITY
    AS e(id, type, schema_version, occurred_at, tags, metadata, payload, n);
  IF e_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT e.position, unnest(e.tags), e.tenant, e.category, e.event_type
    FROM factum.events e WHERE e.position > head AND e.tags IS NOT NULL;
  END IF;
  RETURN ARRAY[head + 1, last + 1, (extract(epoch FROM recorded) * 1000000)::bigint];
END $function$;

-- The position of the first event after `p_after` that a query matches, or NULL. The arrays hold one element for each item of
-- the query: an array literal, or NULL where the item does not say. With tags it walks their index, seeking from one to the
-- other, so that its cost is that of what it finds, whatever the size of the store. The settings keep the planner on the
-- indexes, in a session of a caller too, whatever it believes of tables that were never analyzed; so does ANY of one category:
-- with a mere = the order by position would make the whole log look like a way to it.
CREATE FUNCTION factum.find_match(
  p_tenant text, p_after bigint, p_categories text[], p_types text[], p_tags text[]
) RETURNS bigint LANGUAGE plpgsql VOLATILE
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  best bigint;
  categories text[];
  types text[];
  tags text[];
  candidate bigint;
  other bigint;
  one_category text;
BEGIN
  FOR item IN 1 .. cardinality(p_categories) LOOP
    categories := p_categories[item];
    types := p_types[item];
    tags := p_tags[item];
    IF tags IS NOT NULL THEN
      other := p_after + 1;
      <<walk>>
      LOOP
        candidate := NULL;
        SELECT t.position INTO candidate FROM factum.tags t
        WHERE t.tag = tags[1] AND t.position >= other AND (p_tenant IS NULL OR t.tenant = p_tenant)
          AND (categories IS NULL OR t.category = ANY (categories)) AND (types IS NULL OR t.event_type = ANY (types))
        ORDER BY t.position LIMIT 1;
        EXIT walk WHEN candidate IS NULL OR candidate >= best;
        other := candidate;
        FOR n IN 2 .. cardinality(tags) LOOP
          other := NULL;
          SELECT t.position INTO other FROM factum.tags t
          WHERE t.tag = tags[n] AND t.position >= candidate ORDER BY t.position LIMIT 1;
          EXIT walk WHEN other IS NULL;
          EXIT WHEN other > candidate;
        END LOOP;
        IF other = candidate THEN
          best := candidate;
          EXIT walk;
        END IF;
      END LOOP;
    ELSIF categories IS NOT NULL THEN
      FOREACH one_category IN ARRAY categories LOOP
        IF p_tenant IS NULL THEN
          -- All that it looks at is in the index: the events are not touched.
          SELECT e.position INTO candidate FROM factum.events e
          WHERE e.category = ANY (ARRAY[one_category]) AND e.position > p_after
            AND (types IS NULL OR e.event_type = ANY (types))
          ORDER BY e.category, e.position LIMIT 1;
        ELSE
          SELECT e.position INTO candidate FROM factum.events e
          WHERE e.category = ANY (ARRAY[one_category]) AND e.position > p_after AND e.tenant = p_tenant
            AND (types IS NULL OR e.event_type = ANY (types))
          ORDER BY e.category, e.position LIMIT 1;
        END IF;
        best := least(best, candidate);
      END LOOP;
    ELSE
      SELECT e.position INTO candidate FROM factum.events e
      WHERE e.position > p_after AND (p_tenant IS NULL OR e.tenant = p_tenant)
        AND (types IS NULL OR e.event_type = ANY (types))
      ORDER BY e.position LIMIT 1;
      best := least(best, candidate);
    END IF;
  END LOOP;
  RETURN best;
END $function$;

-- Takes the order lock and says of each append of a group whether it may be recorded.
--
-- Each write names its append, its condition, how many events it has, and the write before it to the same stream in the same
-- group (0 where there is none; `w_before` is NULL where no write has one). An append that is bound to what others of the
-- group do in any other way must not be in it: one whose query they match, or one with the key of another.
--
-- `verdicts`: 0 holds, 1 a stream was elsewhere, 2 its query matched the event at `matched`, 3 its key has an outcome.
-- `lasts`: for each write the version that its stream was at before it.
CREATE FUNCTION factum.judge(
  w_append integer[], w_stream text[], w_tenant text[], w_condition bigint[], w_events integer[], w_before integer[],
  k_append integer[], k_key text[], k_tenant text[], k_since timestamptz,
  q_append integer[], q_tenant text[], q_after bigint[],
  i_query integer[], i_categories text[], i_types text[], i_tags text[],
  appends integer,
  OUT head bigint, OUT recorded_at timestamptz, OUT verdicts smallint[], OUT matched bigint[], OUT lasts bigint[],
  OUT all_hold boolean
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  n integer;
  w integer;
  from_w integer;
  holds boolean;
  reached bigint[];
  match bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(:lock);
  PERFORM factum.require_settings();
  SELECT e.position, e.recorded_at INTO head, recorded_at FROM factum.events e ORDER BY e.position DESC LIMIT 1;
  head := coalesce(head, 0);
  recorded_at := greatest(recorded_at, clock_timestamp());
  all_hold := true;
  verdicts := array_fill(0::smallint, ARRAY[appends]);
  lasts := ARRAY(
    SELECT coalesce((
      SELECT e.version FROM factum.events e
      WHERE e.stream = w_stream[a.w] AND e.tenant = coalesce(w_tenant[a.w], '') AND e.version >= w_condition[a.w]
      ORDER BY e.version DESC LIMIT 1
    ), 0)
    FROM generate_series(1, cardinality(w_stream)) AS a(w)
  );
  IF k_append IS NOT NULL THEN
    FOR n IN
      SELECT k.append FROM unnest(k_append, k_key, k_tenant) AS k(append, key, tenant)
      JOIN factum.keys known ON known.key = k.key AND known.tenant = coalesce(k.tenant, '')
      WHERE known.recorded_at >= k_since
    LOOP
      verdicts[n] := 3;
      all_hold := false;
    END LOOP;
  END IF;
  FOR n, w IN
    SELECT w_append[a.w], a.w FROM generate_series(1, cardinality(w_stream)) AS a(w)
    WHERE coalesce(w_before[a.w], 0) = 0
      AND CASE w_condition[a.w] WHEN -1 THEN false WHEN -2 THEN lasts[a.w] = 0 ELSE lasts[a.w] <> w_condition[a.w] END
  LOOP
    lasts[w] := coalesce(factum.last_version(w_stream[w], coalesce(w_tenant[w], '')), 0);
    IF verdicts[n] = 0 THEN
      verdicts[n] := 1;
      all_hold := false;
    END IF;
  END LOOP;
  IF q_append IS NOT NULL THEN
    matched := array_fill(NULL::bigint, ARRAY[appends]);
    FOR q IN 1 .. cardinality(q_append) LOOP
      n := q_append[q];
      IF verdicts[n] = 0 AND q_after[q] < head THEN
        SELECT factum.find_match(
          q_tenant[q], q_after[q], array_agg(i.categories), array_agg(i.types), array_agg(i.tags)
        ) INTO match
        FROM unnest(i_query, i_categories, i_types, i_tags) AS i(query, categories, types, tags) WHERE i.query = q;
        IF match IS NOT NULL THEN
          verdicts[n] := 2;
          matched[n] := match;
          all_hold := false;
        END IF;
      END IF;
    END LOOP;
  END IF;
  IF w_before IS NOT NULL THEN
    -- Append by append: what one of them does to a stream is what the next one finds.
    w := 1;
    FOR n IN 1 .. appends LOOP
      from_w := w;
      holds := verdicts[n] = 0;
      WHILE w_append[w] = n LOOP
        IF w_before[w] > 0 THEN
          lasts[w] := reached[w_before[w]];
        END IF;
        IF holds AND (
          CASE w_condition[w] WHEN -1 THEN false WHEN -2 THEN lasts[w] = 0 ELSE lasts[w] <> w_condition[w] END
        ) THEN
          holds := false;
          verdicts[n] := 1;
          all_hold := false;
        END IF;
        w := w + 1;
      END LOOP;
      FOR v IN from_w .. w - 1 LOOP
        reached[v] := lasts[v] + CASE WHEN holds THEN w_events[v] ELSE 0 END;
      END LOOP;
    END LOOP;
  END IF;
END $function$;

-- Remembers the keys of those appends of a group that were recorded. `first_of` gives for each append the position before its
-- first event.
CREATE FUNCTION factum.remember(
  p_verdicts smallint[], p_first_of bigint[], p_events integer[], p_recorded_at timestamptz,
  k_append integer[], k_key text[], k_tenant text[], k_fingerprint uuid[], k_refusal text[]
) RETURNS void LANGUAGE sql VOLATILE AS $function$
  INSERT INTO factum.keys AS known (recorded_at, fingerprint, first, last, tenant, key, refusal)
  SELECT
    p_recorded_at, k.fingerprint,
    CASE WHEN p_events[k.append] > 0 THEN p_first_of[k.append] + 1 END,
    CASE WHEN p_events[k.append] > 0 THEN p_first_of[k.append] + p_events[k.append] END,
    coalesce(k.tenant, ''), k.key, CASE WHEN p_events[k.append] = 0 THEN k.refusal END
  FROM unnest(k_append, k_key, k_tenant, k_fingerprint, k_refusal) AS k(append, key, tenant, fingerprint, refusal)
  WHERE p_verdicts[k.append] = 0
  -- One whose time has passed is as good as new.
  ON CONFLICT (key, tenant) DO UPDATE SET
    recorded_at = excluded.recorded_at, fingerprint = excluded.fingerprint, first = excluded.first, last = excluded.last,
    refusal = excluded.refusal;
$function$;

-- Judges a group and inserts what holds. `e_in_append` and `e_in_write` count from 1; where each append is of one event, these and
-- `e_append` and `e_write` are NULL: each event is then the first of the append, and of the write, with its own number.
--
-- The arrays are looked into one element after another, here and in `judge`: each of them unnested would be copied first.
CREATE FUNCTION factum.append_group(
  a_events integer[],
  w_append integer[], w_stream text[], w_tenant text[], w_condition bigint[], w_events integer[], w_before integer[],
  e_append integer[], e_write integer[], e_in_append integer[], e_in_write integer[],
  e_stream text[], e_tenant text[], e_category text[], e_id uuid[], e_type text[], e_schema_version bigint[],
  e_occurred_at timestamptz[], e_tags text[], e_metadata json[], e_payload json[],
  k_append integer[], k_key text[], k_tenant text[], k_fingerprint uuid[], k_refusal text[], k_since timestamptz,
  q_append integer[], q_tenant text[], q_after bigint[],
  i_query integer[], i_categories text[], i_types text[], i_tags text[],
  OUT head bigint, OUT recorded_at timestamptz, OUT verdicts smallint[], OUT matched bigint[], OUT lasts bigint[]
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  all_hold boolean;
  first_of bigint[];
BEGIN
  PERFORM pg_advisory_xact_lock(:lock);
  SELECT j.head, j.recorded_at, j.verdicts, j.matched, j.lasts, j.all_hold
  INTO head, recorded_at, verdicts, matched, lasts, all_hold
  FROM factum.judge(
    w_append, w_stream, w_tenant, w_condition, w_events, w_before, k_append, k_key, k_tenant, k_since,
    q_append, q_tenant, q_after, i_query, i_categories, i_types, i_tags, cardinality(a_events)
  ) AS j;
  IF NOT all_hold OR k_append IS NOT NULL THEN
    first_of := ARRAY(
      SELECT append_group.head - a.taken + sum(a.taken) OVER (ORDER BY a.n) FROM (
        SELECT u.n, CASE WHEN verdicts[u.n] = 0 THEN u.events ELSE 0 END AS taken
        FROM unnest(a_events) WITH ORDINALITY AS u(events, n)
      ) AS a ORDER BY a.n
    );
  END IF;
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  )
  SELECT
    CASE WHEN first_of IS NULL THEN append_group.head + e.n
      ELSE first_of[coalesce(e_append[e.n], e.n)] + coalesce(e_in_append[e.n], 1) END,
    lasts[coalesce(e_write[e.n], e.n)] + coalesce(e_in_write[e.n], 1), append_group.recorded_at, e_occurred_at[e.n], e_id[e.n],
    e_schema_version[e.n], coalesce(e_tenant[e.n], ''), e_category[e.n], e_stream[e.n], e_type[e.n], e_tags[e.n]::text[],
    e_metadata[e.n], e_payload[e.n]
  FROM generate_series(1, cardinality(e_id)) AS e(n)
  WHERE all_hold OR verdicts[coalesce(e_append[e.n], e.n)] = 0;
  IF e_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT e.position, unnest(e.tags), e.tenant, e.category, e.event_type
    FROM factum.events e WHERE e.position > append_group.head AND e.tags IS NOT NULL;
  END IF;
  IF k_append IS NOT NULL THEN
    PERFORM factum.remember(
      verdicts, first_of, a_events, recorded_at, k_append, k_key, k_tenant, k_fingerprint, k_refusal
    );
  END IF;
END $function$;
