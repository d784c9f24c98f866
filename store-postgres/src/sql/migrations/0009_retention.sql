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

-- A commit of a projection that keeps the past from a position on: `commit_fields`, and what is forgotten with it.
CREATE FUNCTION factum.commit_fading(
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
  SELECT c.done, c.at, c.epoch INTO done, at, epoch
  FROM factum.commit_fields(
    p_projection, p_generation, p_log, p_part, p_from, p_epoch, p_to, p_store, p_event,
    d_tenant, d_key, d_position, d_version, d_recorded_at, d_occurred_at, d_positions, d_body,
    k_tenant, k_key, k_first, k_version, k_recorded_at, k_occurred_at, k_versions, f_tenant, f_key, f_field, f_value
  ) c;
  IF NOT done THEN
    RETURN;
  END IF;
  -- The commit holds the shard: the generation is what it was.
  UPDATE factum.checkpoints c SET kept_from = greatest(c.kept_from, p_keep_from)
  FROM factum.generations g
  WHERE g.projection = p_projection AND g.generation = p_generation
    AND c.generation = g.id AND c.log = p_log AND c.part = p_part
  RETURNING c.generation, c.kept_from, c.faded INTO held, before, seen_to;
  INSERT INTO factum.fading (generation, log, due, first, tenant, key)
  SELECT held, p_log, greatest(n.first, seen_to + 1), n.first, n.tenant, n.key
  FROM unnest(k_first, k_tenant, k_key) AS n(first, tenant, key)
  ON CONFLICT DO NOTHING;
  now_to := factum.forget_versions(held, p_log, seen_to, before, p_limit);
  IF now_to > seen_to THEN
    UPDATE factum.checkpoints c SET faded = now_to WHERE c.generation = held AND c.log = p_log AND c.part = p_part;
  END IF;
END $function$;
