-- ?1 generation, ?2 how many at most
DELETE FROM documents WHERE number IN (SELECT number FROM documents WHERE generation = ?1 LIMIT ?2)
