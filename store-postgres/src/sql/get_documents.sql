-- The documents with these keys, by log, each with the place of its key from 1, and the generation; one row without a place
-- where there are none, and no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenants, $5 keys
SELECT
  d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.n, g.generation, g.logs, g.reached
FROM factum.find_generation($1, $2, $3) g
LEFT JOIN LATERAL (
  SELECT one.*, a.n FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS a(tenant, key, n)
  CROSS JOIN LATERAL (
    SELECT c.* FROM factum.documents c
    WHERE c.generation = g.id AND c.tenant = a.tenant AND c.key = a.key AND c.body IS NOT NULL
    OFFSET 0
  ) AS one
) AS d ON true
ORDER BY d.n, d.log
