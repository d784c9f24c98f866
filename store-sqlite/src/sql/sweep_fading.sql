-- ?1 generation, ?2 how many at most
DELETE FROM fading WHERE (generation, log, first, tenant, key) IN (
  SELECT generation, log, first, tenant, key FROM fading WHERE generation = ?1 LIMIT ?2
)
