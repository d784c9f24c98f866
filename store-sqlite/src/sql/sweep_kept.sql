-- ?1 generation, ?2 how many at most
DELETE FROM kept WHERE number IN (SELECT number FROM kept WHERE generation = ?1 LIMIT ?2)
