-- Values that documents are found by, of documents that are not there; and the last that was looked at, if that is as many as may.
-- ?1 generation, ?2, ?3, ?4, ?5 tenant, key, log and field after which to begin, ?6 how many are looked at
SELECT f.tenant, f.key, f.log, f.field, f.value, d.number IS NULL, f.n
FROM (
  SELECT v.tenant, v.key, v.log, v.field, v.value, row_number() OVER (ORDER BY v.tenant, v.key, v.log, v.field) AS n
  FROM (
    SELECT tenant, key, log, field, value FROM document_fields
    WHERE generation = ?1 AND (tenant, key, log, field) > (?2, ?3, ?4, ?5)
    ORDER BY tenant, key, log, field LIMIT ?6
  ) v
) f
LEFT JOIN documents d
  ON d.generation = ?1 AND d.tenant = f.tenant AND d.key = f.key AND d.log = f.log AND d.body IS NOT NULL
WHERE d.number IS NULL OR f.n = ?6
ORDER BY f.n
