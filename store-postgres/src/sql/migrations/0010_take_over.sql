-- Taking over: a projection whose lease is none of this store.

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
