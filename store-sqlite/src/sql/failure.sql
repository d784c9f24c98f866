-- ?1 generation
SELECT failure FROM checkpoints WHERE generation = ?1 AND failure IS NOT NULL ORDER BY log, part LIMIT 1
