-- The checkpoints of these generations, locked: commits that are under way have ended.
-- $1 ids of generations
SELECT generation, log, position, failure FROM factum.checkpoints
WHERE generation = ANY ($1) ORDER BY generation, log, part FOR UPDATE
