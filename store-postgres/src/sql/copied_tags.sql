-- Tells the tags of events that were just copied in.
-- $1 the position before the first of them
INSERT INTO factum.tags (position, tag, tenant, category, event_type)
SELECT e.position, unnest(e.tags), e.tenant, e.category, e.event_type
FROM factum.events e WHERE e.position > $1 AND e.tags IS NOT NULL
