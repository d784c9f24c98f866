-- ?1 generation, ?2 the tenant after which to begin
SELECT tenant FROM documents WHERE generation = ?1 AND tenant > ?2 ORDER BY tenant LIMIT 1
