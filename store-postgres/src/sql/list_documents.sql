-- The documents of one tenant by key and log, and the generation; one row without a key where there are none, and no row
-- where there is no such generation. A generation has at most one document of a key for each of its logs.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenant, $5 the key after which to begin, $6 how many keys and
-- one more, $7 whether deleted ones are listed
SELECT
  d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.key, g.generation, g.logs, g.reached
FROM factum.find_generation($1, $2, $3) g
LEFT JOIN LATERAL (
  SELECT c.* FROM factum.documents c
  WHERE c.generation = g.id AND c.tenant = $4 AND c.key > $5 AND ($7 OR c.body IS NOT NULL)
  ORDER BY c.key, c.log LIMIT $6::bigint * greatest(cardinality(g.logs), 1)
) AS d ON true
ORDER BY d.key, d.log
