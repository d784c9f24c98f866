-- A page of several categories of one tenant, and how far it has looked: the last event that it may look at, and whether there are more.
-- $1 the position before which to begin, $2 how many at most, $3 how many positions to look at, $4 the categories, $5 for each of them the
-- event types that are wanted, an array literal, or NULL, $6 the tenant
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
LEFT JOIN LATERAL (
  SELECT walk.position
  FROM (SELECT u.category, u.types::text[] AS types FROM unnest($4::text[], $5::text[]) AS u(category, types) OFFSET 0) wanted
  CROSS JOIN LATERAL (
    SELECT walked.position FROM factum.events walked
    WHERE walked.category = ANY (ARRAY[wanted.category]) AND walked.position < $1 AND walked.position >= edge.position
      AND (wanted.types IS NULL OR walked.event_type = ANY (wanted.types))
      AND walked.tenant IS NOT DISTINCT FROM $6
    ORDER BY walked.category DESC, walked.position DESC LIMIT $2
  ) walk
  ORDER BY walk.position DESC LIMIT $2
) found ON true
-- OFFSET 0: events are fetched one by one, by their positions, however many the planner expects.
LEFT JOIN LATERAL (
  SELECT position, version, recorded_at, occurred_at, id, NULLIF(schema_version, 1) AS schema_version,
    NULLIF(tenant, '') AS tenant, stream, event_type, tags, metadata,
    CASE WHEN pg_column_size(payload) < 2000 AND pg_column_compression(payload) IS NULL THEN payload END AS payload
  FROM factum.events WHERE position = found.position OFFSET 0
) e ON true
