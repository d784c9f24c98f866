-- How many documents meet conditions, and the generation with its fields; no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenant, $5 the field to walk or NULL, $6, $7 its values from and up
-- to, $8, $9, $10 fields, lows and highs to look up
SELECT factum.count_fields(g.id, $4, $5, $6, $7, $8, $9, $10), g.generation, g.logs, g.reached, n.fields
FROM factum.find_generation($1, $2, $3) g JOIN factum.generations n ON n.id = g.id
