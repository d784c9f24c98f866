-- ?1 generation, ?2 tenant, ?3 the conditions to look up: a JSON array of field, low and high in hex; ?4 field, ?5 its least
-- value, ?6 the value before which to end
SELECT count(*) FROM document_fields f
WHERE f.generation = ?1 AND f.tenant = ?2 AND f.field = ?4 AND f.value >= ?5 AND f.value < ?6
  AND NOT EXISTS (
    SELECT 1 FROM json_each(?3) c WHERE NOT EXISTS (
      SELECT 1 FROM document_fields v
      WHERE v.generation = ?1 AND v.tenant = ?2 AND v.key = f.key AND v.log = f.log AND v.field = c.value ->> 0
        AND v.value >= unhex(c.value ->> 1) AND v.value < unhex(c.value ->> 2)
    )
  )
