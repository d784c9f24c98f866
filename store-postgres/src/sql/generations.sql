-- The generations of a projection that are not dropped.
-- $1 projection
SELECT g.generation, g.version, CASE WHEN g.reopened THEN 'reopened' ELSE g.state END AS state, g.created_at, f.logs, f.reached, (
  SELECT c.failure FROM factum.checkpoints c
  WHERE c.generation = g.id AND c.failure IS NOT NULL
    -- One that the checkpoint has come to is over.
    AND coalesce((c.failure ->> 'position')::bigint > c.position, true)
  ORDER BY c.log, c.part LIMIT 1
) AS failure, g.kept_until, g.fields
FROM factum.generations g CROSS JOIN LATERAL factum.find_generation(g.projection, g.generation, NULL) f
WHERE g.projection = $1 AND g.state IN ('building', 'live', 'retired')
ORDER BY g.generation
