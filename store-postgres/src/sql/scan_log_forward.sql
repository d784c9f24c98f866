-- A page of events that may be meant, and how far it has looked: the last event that it may look at, and whether there are more.
-- $1 the position after which to begin, $2 how many at most, $3 how many positions to look at, $4 the tenant or NULL, $5 the categories or NULL,
-- $6 the event types or NULL, $7 the last position
WITH edge AS MATERIALIZED (
  SELECT last.position, last.id, (
    SELECT n.position FROM factum.events n WHERE n.position > last.position AND n.position <= $7
    ORDER BY n.position LIMIT 1
  ) IS NOT NULL AS more
  FROM (
    SELECT position, id FROM factum.events WHERE position > $1 AND position <= least($1 + $3, $7)
    ORDER BY position DESC LIMIT 1
  ) last
)
SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.tenant,
  e.stream, e.event_type, e.tags, e.metadata, e.payload,
  edge.position AS edge, edge.id AS edge_id, edge.more
FROM edge
-- As many as lie up to the edge, by a LIMIT: with a range of positions the planner would sort what it finds.
LEFT JOIN LATERAL (
  SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
    NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
    CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
  FROM (SELECT * FROM factum.events WHERE position > $1 ORDER BY position LIMIT $3) looked
  WHERE position <= edge.position AND ($4 IS NULL OR tenant = $4)
    AND ($5::text[] IS NULL OR category = ANY ($5)) AND ($6::text[] IS NULL OR event_type = ANY ($6))
  ORDER BY position LIMIT $2
) e ON true
