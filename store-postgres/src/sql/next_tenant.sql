-- The first tenant of a generation after one, or NULL; no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 the tenant after which to begin
SELECT (
  SELECT d.tenant FROM factum.documents d WHERE d.generation = g.id AND d.tenant > $4 ORDER BY d.tenant LIMIT 1
)
FROM factum.find_generation($1, $2, $3) g
