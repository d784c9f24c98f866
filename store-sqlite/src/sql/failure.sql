-- One that the checkpoint has come to is over.
-- ?1 generation
SELECT failure FROM checkpoints
WHERE generation = ?1 AND failure IS NOT NULL
  AND (NOT json_valid(failure) OR coalesce(failure ->> '$.position' > position, TRUE))
ORDER BY log, part LIMIT 1
