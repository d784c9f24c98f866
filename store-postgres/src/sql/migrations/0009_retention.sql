-- How far back the past is kept, where a projection does not keep it for ever: which kept versions are forgotten, and when.

-- From where on the past is kept, 0 where all of it is; and up to where what was due in `fading` was seen to.
ALTER TABLE factum.checkpoints ADD COLUMN kept_from bigint NOT NULL DEFAULT 0;
ALTER TABLE factum.checkpoints ADD COLUMN faded bigint NOT NULL DEFAULT 0;

-- Rows of kept versions whose like is forgotten one day: once the past is kept from `first` on, or from later, what was kept of
-- the document before this row is needed by nobody. That is seen to once the past is kept from `due` on, which is `first`, or
-- later where that had passed: so nothing is put where one has looked already, and nobody walks over what was deleted there.
CREATE TABLE factum.fading (
  generation bigint NOT NULL,
  log bigint NOT NULL,
  due bigint NOT NULL,
  first bigint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  PRIMARY KEY (generation, log, due, tenant, key, first)
);

-- Forgets rows of kept versions that are not needed where the past is kept from `p_before` on, `p_limit` at most, and says up to
-- where that is done; what is left is for the next time. Whoever calls it holds the shard.
CREATE FUNCTION factum.forget_versions(
  p_generation bigint, p_log bigint, p_faded bigint, p_before bigint, p_limit bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET enable_sort = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $function$
DECLARE
  f record;
  forgotten bigint;
  room bigint := p_limit;
BEGIN
  FOR f IN
    SELECT q.due, q.tenant, q.key, q.first FROM factum.fading q
    WHERE q.generation = p_generation AND q.log = p_log AND q.due > p_faded AND q.due <= p_before
    ORDER BY q.due, q.tenant, q.key, q.first
  LOOP
    IF room <= 0 THEN
      RETURN f.due - 1;
    END IF;
    DELETE FROM factum.kept v WHERE v.ctid = ANY (ARRAY(
      SELECT k.ctid FROM factum.kept k
      WHERE k.generation = p_generation AND k.tenant = f.tenant AND k.key = f.key AND k.log = p_log AND k.first < f.first
      ORDER BY k.first LIMIT room
    ));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    room := room - forgotten - 1;
    IF room < 0 THEN
      -- There may be more of this document.
      RETURN f.due - 1;
    END IF;
    DELETE FROM factum.fading q
    WHERE q.generation = p_generation AND q.log = p_log AND q.due = f.due AND q.tenant = f.tenant AND q.key = f.key
      AND q.first = f.first;
  END LOOP;
  RETURN p_before;
END $function$;

-- Moves the checkpoint of a shard and writes what belongs to it, if checkpoint and epoch are the expected ones; else changes
-- nothing and says where they are (NULL where the generation takes no writes). What documents are found by is forgotten where it
-- is NULL. Where the past is kept from a position on, what is needed no longer is forgotten: `p_limit` rows at most.
--
-- The update of the checkpoint is compare, set and lock in one. It is right without a look at the generation's row: whatever
-- makes a generation take no more writes raises the epochs of its checkpoints, or deletes them, in the same transaction.
CREATE FUNCTION factum.commit_page(
  p_projection text, p_generation bigint, p_log bigint, p_part bigint, p_from bigint, p_epoch bigint,
  p_to bigint, p_store uuid, p_event uuid,
  d_tenant text[], d_key text[], d_position bigint[], d_version bigint[], d_recorded_at timestamptz[],
  d_occurred_at timestamptz[], d_positions bytea[], d_body json[],
  k_tenant text[], k_key text[], k_first bigint[], k_version bigint[], k_recorded_at timestamptz[],
  k_occurred_at timestamptz[], k_versions bytea[],
  f_tenant text[], f_key text[], f_field text[], f_value bytea[],
  p_keep_from bigint, p_limit bigint,
  OUT done boolean, OUT at bigint, OUT epoch bigint
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  held bigint;
  before bigint;
  seen_to bigint;
  now_to bigint;
BEGIN
  UPDATE factum.checkpoints c SET position = p_to, store_id = p_store, event_id = p_event
  FROM factum.generations g
  WHERE g.projection = p_projection AND g.generation = p_generation AND g.state IN ('building', 'live')
    AND c.generation = g.id AND c.log = p_log AND c.part = p_part AND c.position = p_from AND c.epoch = p_epoch
  RETURNING c.generation INTO held;
  done := held IS NOT NULL;
  IF NOT done THEN
    SELECT h.held, h.at, h.epoch INTO held, at, epoch
    FROM factum.hold_shard(p_projection, p_generation, p_log, p_part, p_from = 0 AND p_epoch = 0) h;
    done := coalesce(at = p_from AND epoch = p_epoch, false);
    IF NOT done THEN
      RETURN;
    END IF;
    UPDATE factum.checkpoints c SET position = p_to, store_id = p_store, event_id = p_event
    WHERE c.generation = held AND c.log = p_log AND c.part = p_part;
  END IF;
  INSERT INTO factum.documents AS d (
    generation, log, position, version, recorded_at, occurred_at, tenant, key, positions, body
  )
  SELECT held, p_log, n.position, n.version, n.recorded_at, n.occurred_at, n.tenant, n.key, n.positions, n.body
  FROM unnest(
    d_tenant, d_key, d_position, d_version, d_recorded_at, d_occurred_at, d_positions, d_body
  ) AS n(tenant, key, position, version, recorded_at, occurred_at, positions, body)
  ON CONFLICT (generation, tenant, key, log) DO UPDATE SET
    position = excluded.position, version = excluded.version, recorded_at = excluded.recorded_at,
    occurred_at = excluded.occurred_at, positions = excluded.positions, body = excluded.body;
  IF cardinality(k_key) > 0 THEN
    INSERT INTO factum.kept (generation, log, first, version, recorded_at, occurred_at, committed, tenant, key, versions)
    SELECT held, p_log, n.first, n.version, n.recorded_at, n.occurred_at, p_to, n.tenant, n.key, n.versions
    FROM unnest(
      k_tenant, k_key, k_first, k_version, k_recorded_at, k_occurred_at, k_versions
    ) AS n(tenant, key, first, version, recorded_at, occurred_at, versions);
  END IF;
  IF cardinality(f_key) > 0 THEN
    DELETE FROM factum.document_fields v
    USING unnest(f_tenant, f_key, f_field, f_value) AS n(tenant, key, field, value)
    WHERE n.value IS NULL AND v.generation = held AND v.tenant = n.tenant AND v.key = n.key AND v.log = p_log
      AND v.field = n.field;
    INSERT INTO factum.document_fields AS v (generation, log, tenant, key, field, value)
    SELECT held, p_log, n.tenant, n.key, n.field, n.value
    FROM unnest(f_tenant, f_key, f_field, f_value) AS n(tenant, key, field, value)
    WHERE n.value IS NOT NULL
    ON CONFLICT (generation, tenant, key, log, field) DO UPDATE SET value = excluded.value
    WHERE v.value <> excluded.value;
  END IF;
  IF p_keep_from IS NULL THEN
    RETURN;
  END IF;
  UPDATE factum.checkpoints c SET kept_from = greatest(c.kept_from, p_keep_from)
  WHERE c.generation = held AND c.log = p_log AND c.part = p_part
  RETURNING c.kept_from, c.faded INTO before, seen_to;
  INSERT INTO factum.fading (generation, log, due, first, tenant, key)
  SELECT held, p_log, greatest(n.first, seen_to + 1), n.first, n.tenant, n.key
  FROM unnest(k_first, k_tenant, k_key) AS n(first, tenant, key)
  ON CONFLICT DO NOTHING;
  now_to := factum.forget_versions(held, p_log, seen_to, before, p_limit);
  IF now_to > seen_to THEN
    UPDATE factum.checkpoints c SET faded = now_to WHERE c.generation = held AND c.log = p_log AND c.part = p_part;
  END IF;
END $function$;
