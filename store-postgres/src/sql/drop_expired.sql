-- Marks the retired generations as gone that are kept no longer, and says which.
-- $1 projection
WITH gone AS (
  UPDATE factum.generations SET state = 'dropping', kept_until = NULL
  WHERE projection = $1 AND state = 'retired' AND kept_until <= clock_timestamp() RETURNING id, generation
), forgotten AS (
  DELETE FROM factum.checkpoints WHERE generation IN (SELECT id FROM gone)
)
SELECT generation FROM gone ORDER BY generation
