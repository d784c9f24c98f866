-- Read models: generations, checkpoints, documents, kept versions, and the functions that write them.

-- One build of a read model. A dropped one stays as a row, so that its number is never given again.
CREATE TABLE factum.generations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  generation bigint NOT NULL,
  version bigint NOT NULL,
  created_at timestamptz NOT NULL,
  projection text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL CHECK (state IN ('building', 'live', 'retired', 'dropping', 'dropped')),
  UNIQUE (projection, generation)
);

CREATE UNIQUE INDEX generations_one_live ON factum.generations (projection, version) WHERE state = 'live';
CREATE UNIQUE INDEX generations_one_building ON factum.generations (projection, version) WHERE state = 'building';
CREATE INDEX generations_dropping ON factum.generations (id) WHERE state = 'dropping';

-- How far a shard is. Its row is the lock of the shard: a commit holds it, and what would replace or drop the generation
-- waits for it. Only a shard that has none yet is held by the row of its generation.
CREATE TABLE factum.checkpoints (
  generation bigint NOT NULL,
  log bigint NOT NULL,
  part bigint NOT NULL,
  position bigint NOT NULL,
  epoch bigint NOT NULL,
  store_id uuid,
  event_id uuid,
  -- Why it stands still; NULL where it does not.
  failure json,
  PRIMARY KEY (generation, log, part)
) WITH (fillfactor = 50);

-- The current documents. No index holds what changes, and pages have room: a new version of a row stays on its page.
CREATE TABLE factum.documents (
  generation bigint NOT NULL,
  log bigint NOT NULL,
  position bigint NOT NULL,
  version bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  occurred_at timestamptz NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- The positions folded in since the last kept version, as core encodes them.
  positions bytea NOT NULL,
  -- NULL where the document was deleted.
  body json,
  PRIMARY KEY (generation, tenant, key, log)
) WITH (fillfactor = 70);

-- Kept versions, packed: what one commit keeps of one document lies in one row, or in more if there is much of it.
CREATE TABLE factum.kept (
  generation bigint NOT NULL,
  log bigint NOT NULL,
  -- The position of its first version, and the least of its versions' other bounds: no version of a row lies within an `At`
  -- that these do not lie within.
  first bigint NOT NULL,
  version bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  occurred_at timestamptz NOT NULL,
  -- Where the checkpoint went with them: of what was kept twice, the later counts.
  committed bigint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  versions bytea NOT NULL,
  PRIMARY KEY (generation, tenant, key, log, first, committed)
);

-- The generation with a number, or the live one of a version (NULL is neither), and how far it is: for each of its logs the
-- least of its partitions.
CREATE FUNCTION factum.find_generation(p_projection text, p_generation bigint, p_version bigint)
RETURNS TABLE (id bigint, generation bigint, logs bigint[], reached bigint[]) LANGUAGE sql STABLE AS $function$
  SELECT g.id, g.generation,
    ARRAY(SELECT c.log FROM factum.checkpoints c WHERE c.generation = g.id GROUP BY c.log ORDER BY c.log),
    ARRAY(SELECT min(c.position) FROM factum.checkpoints c WHERE c.generation = g.id GROUP BY c.log ORDER BY c.log)
  FROM (
    SELECT n.id, n.generation FROM factum.generations n
    WHERE n.projection = p_projection AND n.generation = p_generation AND n.state IN ('building', 'live', 'retired')
    UNION ALL
    SELECT l.id, l.generation FROM factum.generations l
    WHERE l.projection = p_projection AND l.version = p_version AND l.state = 'live'
  ) AS g
$function$;

-- Locks the checkpoint of a shard and says where it is; makes one at the start where there is none and `p_make` says so.
-- `held` is NULL where the generation takes no writes.
CREATE FUNCTION factum.hold_shard(
  p_projection text, p_generation bigint, p_log bigint, p_part bigint, p_make boolean,
  OUT held bigint, OUT at bigint, OUT epoch bigint
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $function$
BEGIN
  LOOP
    SELECT c.generation, c.position, c.epoch INTO held, at, epoch
    FROM factum.generations g JOIN factum.checkpoints c ON c.generation = g.id AND c.log = p_log AND c.part = p_part
    WHERE g.projection = p_projection AND g.generation = p_generation AND g.state IN ('building', 'live')
    FOR UPDATE OF c;
    EXIT WHEN FOUND;
    -- There is no row to hold. That of the generation keeps a switch and a drop from missing the one that is made here.
    SELECT g.id INTO held FROM factum.generations g
    WHERE g.projection = p_projection AND g.generation = p_generation AND g.state IN ('building', 'live')
    FOR SHARE;
    EXIT WHEN held IS NULL;
    IF NOT p_make THEN
      at := 0;
      epoch := 0;
      EXIT;
    END IF;
    INSERT INTO factum.checkpoints (generation, log, part, position, epoch) VALUES (held, p_log, p_part, 0, 0)
    ON CONFLICT (generation, log, part) DO NOTHING;
  END LOOP;
END $function$;

-- Raises the epoch of a shard if it is the expected one, or sets why the shard stands still. Answers as `commit_page` does.
CREATE FUNCTION factum.change_shard(
  p_projection text, p_generation bigint, p_log bigint, p_part bigint, p_epoch bigint, p_raise boolean, p_failure json,
  OUT done boolean, OUT at bigint, OUT epoch bigint
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $function$
DECLARE
  held bigint;
BEGIN
  SELECT h.held, h.at, h.epoch INTO held, at, epoch
  FROM factum.hold_shard(p_projection, p_generation, p_log, p_part, p_epoch = 0) h;
  done := coalesce(epoch = p_epoch, false);
  IF done AND p_raise THEN
    UPDATE factum.checkpoints c SET epoch = c.epoch + 1
    WHERE c.generation = held AND c.log = p_log AND c.part = p_part RETURNING c.epoch INTO epoch;
  ELSIF done THEN
    UPDATE factum.checkpoints c SET failure = p_failure
    WHERE c.generation = held AND c.log = p_log AND c.part = p_part;
  END IF;
END $function$;
