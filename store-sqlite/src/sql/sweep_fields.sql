-- ?1 generation, ?2 how many at most
DELETE FROM document_fields WHERE (generation, tenant, key, log, field) IN (
  SELECT generation, tenant, key, log, field FROM document_fields WHERE generation = ?1 LIMIT ?2
)
