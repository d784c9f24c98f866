-- Taking over: a projection whose lease is none of this store, and what a holder says of itself.

-- Raises the epoch of a shard and says how far it is; nothing where there is no such generation. A commit under way holds its
-- checkpoint and is waited for, a second at most, as in `take_lease`: whoever was stopped in the middle of one may hold it until
-- the server ends that.
CREATE FUNCTION factum.take_over_shard(p_projection text, p_generation bigint, p_log bigint, p_part bigint)
RETURNS TABLE (at bigint, epoch bigint, store_id uuid, event_id uuid)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET lock_timeout = '1s' AS $function$
BEGIN
  RETURN QUERY
  INSERT INTO factum.checkpoints AS c (generation, log, part, position, epoch)
  SELECT g.id, p_log, p_part, 0, 1 FROM factum.find_generation(p_projection, p_generation, NULL) g
  ON CONFLICT (generation, log, part) DO UPDATE SET epoch = c.epoch + 1
  RETURNING c.position, c.epoch, c.store_id, c.event_id;
END $function$;

-- As before, but whoever has a lease and says something else beside it has it since it took it first.
CREATE OR REPLACE FUNCTION factum.take_lease(
  p_name text, p_holder text, p_note text, p_seen_holder text, p_seen_counter bigint,
  p_projection text, p_version bigint, p_state text, p_logs bigint[],
  OUT taken boolean, OUT name text, OUT holder text, OUT counter bigint, OUT since timestamptz, OUT note text
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET lock_timeout = '1s' AS $function$
#variable_conflict use_column
DECLARE
  raised bigint;
BEGIN
  LOOP
    INSERT INTO factum.leases AS l (counter, since, name, holder, note)
    VALUES (1, clock_timestamp(), p_name, p_holder, p_note)
    ON CONFLICT (name) DO UPDATE SET
      counter = l.counter + 1, holder = excluded.holder, note = excluded.note,
      since = CASE WHEN l.holder = excluded.holder THEN l.since ELSE excluded.since END
    WHERE l.holder = p_holder OR (l.holder = p_seen_holder AND l.counter = p_seen_counter);
    taken := FOUND;
    SELECT l.name, l.holder, l.counter, l.since, l.note INTO name, holder, counter, since, note
    FROM factum.leases l WHERE l.name = p_name;
    -- It may have been given back between the two.
    EXIT WHEN FOUND;
  END LOOP;
  IF NOT taken OR p_projection IS NULL THEN
    RETURN;
  END IF;
  SELECT g.id INTO raised FROM factum.generations g
  WHERE g.projection = p_projection AND g.version = p_version AND g.state = p_state AND NOT g.reopened
  FOR SHARE;
  IF FOUND THEN
    INSERT INTO factum.checkpoints (generation, log, part, position, epoch)
    SELECT raised, l.log, 0, 0, 0 FROM unnest(p_logs) AS l(log)
    ON CONFLICT (generation, log, part) DO NOTHING;
    UPDATE factum.checkpoints c SET epoch = c.epoch + 1 WHERE c.generation = raised;
  END IF;
END $function$;
