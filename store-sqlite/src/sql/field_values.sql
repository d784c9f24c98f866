-- The documents of a key, by log: where each is, and one of its values in a row; NULL where it has none.
-- ?1 generation, ?2 tenant, ?3 key
SELECT d.log, d.position, f.field, f.value FROM documents d
LEFT JOIN document_fields f
  ON f.generation = d.generation AND f.tenant = d.tenant AND f.key = d.key AND f.log = d.log
WHERE d.generation = ?1 AND d.tenant = ?2 AND d.key = ?3 AND d.body IS NOT NULL
ORDER BY d.log, f.field
