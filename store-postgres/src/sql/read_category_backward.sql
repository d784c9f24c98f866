-- A page of one category, and how far it has looked: the last event that it may look at, and whether there are more.
-- $1 the position before which to begin, $2 how many at most, $3 how many positions to look at, $4 the category
WITH edge AS MATERIALIZED (
  SELECT last.position, last.id, (
    SELECT n.position FROM factum.events n WHERE n.position < last.position ORDER BY n.position DESC LIMIT 1
  ) IS NOT NULL AS more
  FROM (
    SELECT position, id FROM factum.events
    WHERE position < $1
      AND position > (SELECT position FROM factum.events WHERE position < $1 ORDER BY position DESC LIMIT 1) - $3
    ORDER BY position LIMIT 1
  ) last
)
SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.tenant,
  e.stream, e.event_type, e.tags, e.metadata, e.payload,
  edge.position AS edge, edge.id AS edge_id, edge.more
FROM edge
-- ANY, where there is but one, and the order by both columns: so that only the index of categories will do. The edge outside
-- of the LIMIT: a range of positions seems so small to the planner that it would sort all that lies in it.
LEFT JOIN LATERAL (
  SELECT * FROM (
    SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
      NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
      CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
    FROM factum.events
    WHERE category = ANY (ARRAY[$4]) AND position < $1
    ORDER BY category DESC, position DESC LIMIT $2
  ) walked WHERE position >= edge.position
) e ON true
