-- ?1 projection, ?2 now: those that are kept no longer
SELECT id, generation FROM generations
WHERE projection = ?1 AND state = 'retired' AND kept_until <= ?2 ORDER BY generation
