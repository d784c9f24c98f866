-- All documents that meet conditions, by key. There is no value to begin after.
-- ?1 generation, ?2 tenant, ?3 the conditions to look up: a JSON array of field, low and high in hex; ?4 how many,
-- ?5, ?6, ?7 value, key and log after which to begin
SELECT d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.key, NULL
FROM documents d
WHERE d.generation = ?1 AND d.tenant = ?2 AND (d.key, d.log) < (?6, ?7) AND ?5 IS NOT NULL AND d.body IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM json_each(?3) c WHERE NOT EXISTS (
      SELECT 1 FROM document_fields v
      WHERE v.generation = ?1 AND v.tenant = ?2 AND v.key = d.key AND v.log = d.log AND v.field = c.value ->> 0
        AND v.value >= unhex(c.value ->> 1) AND v.value < unhex(c.value ->> 2)
    )
  )
ORDER BY d.key DESC, d.log DESC LIMIT ?4
