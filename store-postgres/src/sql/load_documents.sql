-- The documents with these keys in one log, each with the place of its key from 1; one row without a place where there are
-- none, and no row where there is no such generation.
-- $1 projection, $2 generation, $3 log, $4 tenants, $5 keys
SELECT d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.n
FROM factum.find_generation($1, $2, NULL) g
LEFT JOIN LATERAL (
  SELECT one.*, a.n FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS a(tenant, key, n)
  CROSS JOIN LATERAL (
    SELECT c.* FROM factum.documents c
    WHERE c.generation = g.id AND c.tenant = a.tenant AND c.key = a.key AND c.log = $3
    -- A fence: one search of the index for each key, whatever the statistics say.
    OFFSET 0
  ) AS one
) AS d ON true
