-- The generations with these numbers, locked, if they are not dropped.
-- $1 projection, $2 numbers
SELECT id, generation, version, CASE WHEN reopened THEN 'reopened' ELSE state END AS state FROM factum.generations
WHERE projection = $1 AND generation = ANY ($2) AND state IN ('building', 'live', 'retired')
ORDER BY id FOR UPDATE
