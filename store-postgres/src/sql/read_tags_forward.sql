-- A page of events with tags, and how far it has looked: the last event that it may look at, and whether there are more.
-- $1 the position after which to begin, $2 how many at most, $3 how many positions to look at, $4 for each item the tags, $5 its categories,
-- $6 its event types, each an array literal or NULL, $7 the tenant or NULL, $8 the last position
WITH edge AS MATERIALIZED (
  SELECT last.position, last.id, (
    SELECT n.position FROM factum.events n WHERE n.position > last.position AND n.position <= $8
    ORDER BY n.position LIMIT 1
  ) IS NOT NULL AS more
  FROM (
    SELECT position, id FROM factum.events WHERE position > $1 AND position <= least($1 + $3, $8)
    ORDER BY position DESC LIMIT 1
  ) last
)
SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.tenant,
  e.stream, e.event_type, e.tags, e.metadata, e.payload,
  edge.position AS edge, edge.id AS edge_id, edge.more
FROM edge
LEFT JOIN LATERAL (
  SELECT DISTINCT walk.position
  FROM unnest($4::text[], $5::text[], $6::text[]) AS item(tags, categories, types)
  CROSS JOIN LATERAL factum.walk_tags_forward(
    item.tags::text[], item.categories::text[], item.types::text[], $7, $1, edge.position, $2
  ) AS walk(position)
  ORDER BY walk.position LIMIT $2
) found ON true
-- OFFSET 0: events are fetched one by one, by their positions, however many the planner expects.
LEFT JOIN LATERAL (
  SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
    NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
    CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
  FROM factum.events WHERE position = found.position OFFSET 0
) e ON true
