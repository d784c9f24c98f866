-- Forgets some keys whose time has passed. What an append holds, it gives a new time: that one is left, as is one that was
-- used again in between.
-- $1 the time since when keys are kept, $2 how many at most
DELETE FROM factum.keys k WHERE k.recorded_at < $1 AND k.ctid = ANY (ARRAY(
  SELECT o.ctid FROM factum.keys o WHERE o.recorded_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
))
RETURNING 1
