-- The documents with these keys, by log, each with the place of its key from 1, where it is, and one of its values in a row
-- (NULL where it has none); one row without a place where there are none, and no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenants, $5 keys
SELECT d.log, d.position, d.n, d.field, d.value
FROM factum.find_generation($1, $2, $3) g
LEFT JOIN LATERAL (
  SELECT one.log, one.position, a.n, f.field, f.value
  FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS a(tenant, key, n)
  CROSS JOIN LATERAL (
    SELECT c.log, c.position FROM factum.documents c
    WHERE c.generation = g.id AND c.tenant = a.tenant AND c.key = a.key AND c.body IS NOT NULL
    OFFSET 0
  ) AS one
  LEFT JOIN LATERAL (
    SELECT v.field, v.value FROM factum.document_fields v
    WHERE v.generation = g.id AND v.tenant = a.tenant AND v.key = a.key AND v.log = one.log
    OFFSET 0
  ) AS f ON true
) AS d ON true
ORDER BY d.n, d.log, d.field
