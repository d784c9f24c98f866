-- Those of one value of a field, sorted by another.
-- ?1 generation, ?2 tenant, ?3 the conditions to look up: a JSON array of field, low and high in hex; ?4 how many,
-- ?5, ?6, ?7 value, key and log after which to begin,
-- ?8 the field to sort by, ?9 the least value, ?10 the field of one value, ?11 that value
SELECT d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.key, f.value
FROM (
  SELECT f.value, f.key, f.log
  FROM document_fields e CROSS JOIN document_fields f
  WHERE e.generation = ?1 AND e.tenant = ?2 AND e.field = ?10 AND e.value = ?11
    AND f.generation = ?1 AND f.tenant = ?2 AND f.key = e.key AND f.log = e.log AND f.field = ?8
    AND (f.value, f.key, f.log) < (?5, ?6, ?7) AND f.value >= ?9
    AND NOT EXISTS (
      SELECT 1 FROM json_each(?3) c WHERE NOT EXISTS (
        SELECT 1 FROM document_fields v
        WHERE v.generation = ?1 AND v.tenant = ?2 AND v.key = e.key AND v.log = e.log AND v.field = c.value ->> 0
          AND v.value >= unhex(c.value ->> 1) AND v.value < unhex(c.value ->> 2)
      )
    )
  ORDER BY f.value DESC, f.key DESC, f.log DESC LIMIT ?4
) AS f CROSS JOIN documents d
WHERE d.generation = ?1 AND d.tenant = ?2 AND d.key = f.key AND d.log = f.log AND d.body IS NOT NULL
ORDER BY f.value DESC, f.key DESC, f.log DESC
