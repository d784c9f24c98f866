-- ?1 generation, ?2 log: from where on the past is kept; 0 where all of it is
SELECT coalesce(max(kept_from), 0) FROM checkpoints WHERE generation = ?1 AND log = ?2
