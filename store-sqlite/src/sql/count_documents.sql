-- ?1 generation, ?2 tenant
SELECT count(*) FROM documents WHERE generation = ?1 AND tenant = ?2 AND body IS NOT NULL
