-- How many tables a generation has; no row where there is no such generation.
-- $1 projection, $2 generation
SELECT g.id, (SELECT count(*) FROM factum.projected_tables t WHERE t.generation = g.id) AS tables
FROM factum.generations g WHERE g.projection = $1 AND g.generation = $2
