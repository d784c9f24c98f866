-- The documents that meet conditions, in order, and the generation with its fields; one row without a document where there are
-- none, and no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenant, $5 whether backward, $6 how many, $7, $8, $9 value, key
-- and log to begin after, $10 the field to walk or sort by or NULL, $11 where its values end, $12 a field of one value or NULL,
-- $13 that value, $14, $15, $16 fields, lows and highs to look up
SELECT
  d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body, d.key, g.generation, g.logs, g.reached,
  d.value, n.fields
FROM factum.find_generation($1, $2, $3) g JOIN factum.generations n ON n.id = g.id
LEFT JOIN LATERAL (
  SELECT one.*, w.value, w.n
  FROM factum.walk_fields(g.id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    WITH ORDINALITY AS w(value, key, log, n)
  CROSS JOIN LATERAL (
    SELECT c.* FROM factum.documents c
    WHERE c.generation = g.id AND c.tenant = $4 AND c.key = w.key AND c.log = w.log AND c.body IS NOT NULL
    -- A fence: one search of the index for each document, whatever the statistics say.
    OFFSET 0
  ) AS one
) AS d ON true
ORDER BY d.n
